"""What ``systemd-analyze`` says of the units; needs no running systemd."""

import re
import subprocess
from pathlib import Path

from edge.service.unit_files import UNIT_FOLDER, units
from tools.errors import SystemdCheckError

LIMIT = 2.0
_SCORE = re.compile(r"exposure level for \S+: ([\d.]+)")


def write_units(folder: Path, edge: Path) -> list[Path]:
    """All units, rendered as an installation would have them."""
    made = []
    for file in units(edge):
        if file.path.parent == UNIT_FOLDER:
            made.append(folder / file.path.name)
            made[-1].write_text(file.content, encoding="utf-8")
    return made


def scores(unit_files: list[Path]) -> dict[str, float]:
    """Exposure of each service, 0 (safe) to 10. Raises SystemdCheckError when it cannot be had."""
    found = {}
    for path in unit_files:
        if path.suffix != ".service":
            continue
        command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        score = _SCORE.search(done.stdout)
        if score is None:
            raise SystemdCheckError(f"{' '.join(command)}: no score: {done.stdout[-300:]}{done.stderr}")
        found[path.name] = float(score[1])
    return found


def complaints(unit_files: list[Path]) -> list[str]:
    """All that ``verify`` prints: it ends with 0 on an unknown key, so any line counts."""
    instances = []
    for path in unit_files:
        instance = path.with_name(path.name.replace("@.", "@verify."))
        instance.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        instances.append(instance)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, instances)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for instance in instances:
        instance.unlink()
    lines = (done.stdout + done.stderr).splitlines()
    if done.returncode and not lines:
        lines = [f"systemd-analyze verify ended with {done.returncode}"]
    return lines
