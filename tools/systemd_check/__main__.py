"""``python -m tools.systemd_check``: scores and verification; then the real units, started, killed, counted."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edge.errors import EdgeError
from engines.whole_file import write_whole
from tools.errors import SystemdCheckError
from tools.systemd_check import booted, inside, trials
from tools.systemd_check.installed import EDGE
from tools.systemd_check.scores import LIMIT, complaints, scores, write_units

Figures = dict[str, Any]
_RESULT = "/run/edge-check.json"
console = Console()


def main() -> int:
    """Exit code 1: a unit is not good enough, or a trial failed."""
    parser = argparse.ArgumentParser(prog="systemd_check", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here", metavar="FILE.json")
    parser.add_argument("--static", action="store_true", help="scores and verification only; start nothing")
    parser.add_argument(
        "--booted",
        action="store_true",
        help="instead of in a user's manager: install into a system that is booted for it (root, some minutes)",
    )
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--ready-limit-s", type=float, default=trials.READY_AGAIN_S, help="from a kill to READY; default: 10"
    )
    options = parser.parse_args()
    try:
        if options.inside:
            (inside.in_system if options.booted else inside.in_user_manager)(
                options.inside, options.ready_limit_s
            )
            return 0
        return _outside(options)
    except EdgeError as error:
        print(f"systemd_check: {error}", file=sys.stderr)
        return 2


def _outside(options: argparse.Namespace) -> int:
    missing = [name for name in ("systemd-analyze", "systemctl", "unshare") if shutil.which(name) is None]
    if missing:
        raise SystemdCheckError(
            f"{', '.join(missing)}: not found; expected systemd and util-linux (Debian: apt-get install systemd)"
        )
    with tempfile.TemporaryDirectory(prefix="edge-units-") as folder:
        units = write_units(Path(folder), EDGE)
        found, said = scores(units), complaints(units)
    _show_scores(found, said)
    figures: Figures = {"limit": LIMIT, "scores": found, "verify": said, "trials": []}
    if not options.static:
        figures |= (_in_system if options.booted else _in_namespace)(options.ready_limit_s)
    good = max(found.values()) <= LIMIT and not said and all(t["passed"] for t in figures["trials"])
    if options.json:
        write_whole(options.json, json.dumps({"passed": good, **figures}, indent=1) + "\n")
    return int(not good)


def _show_scores(found: dict[str, float], said: list[str]) -> None:
    table = Table(title=f"exposure (at most {LIMIT})", title_justify="left")
    table.add_column("unit")
    table.add_column("score", justify="right")
    for name, score in found.items():
        table.add_row(name, f"[{'green' if score <= LIMIT else 'red'}]{score}[/]")
    console.print(table)
    console.print("verify: silent" if not said else "verify:\n" + "\n".join(said), markup=False)


def _in_namespace(limit_s: float) -> Figures:
    """The same program again, as the only one that sees the private mounts."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    with tempfile.TemporaryDirectory(prefix="edge-units-") as folder:
        result = Path(folder) / "trials.json"
        code = subprocess.call(["unshare", *user, "--mount", sys.executable, *_again(str(result), limit_s)])
        return _read(result.read_text(encoding="utf-8") if result.exists() else "", code)


def _in_system(limit_s: float) -> Figures:
    """The same program again, of the package that was installed in there."""
    with booted.booted() as system:
        python = booted.install(system) / "python"
        code = system.run(str(python), *_again(_RESULT, limit_s), "--booted")
        return _read(system.says("cat", _RESULT), code)


def _again(result: str, limit_s: float) -> tuple[str, ...]:
    return ("-m", "tools.systemd_check", "--inside", result, "--ready-limit-s", f"{limit_s:g}")


def _read(result: str, code: int) -> Figures:
    if not result:
        raise SystemdCheckError(f"the units were not tried (exit code {code}); see above")
    found: Figures = json.loads(result)
    return found


if __name__ == "__main__":
    sys.exit(main())
