"""``python -m tools.systemd_check``: scores and verification; then the real units, started, killed, counted."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edge.errors import EdgeError
from engines.whole_file import write_whole
from tools.errors import SystemdCheckError
from tools.systemd_check import line, trials
from tools.systemd_check.manager import BASE, enter, manager
from tools.systemd_check.scores import LIMIT, complaints, scores, write_units
from tools.systemd_check.trials import Trial

EDGE = Path(sys.prefix) / "bin" / "edge"
PARTS, M_PER_S = 2000, 0.4
"""More than go by during the trials."""
console = Console()


def main() -> int:
    """Exit code 1: a unit is not good enough, or a trial failed."""
    parser = argparse.ArgumentParser(prog="systemd_check", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here", metavar="FILE.json")
    parser.add_argument("--static", action="store_true", help="scores and verification only; start nothing")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--ready-limit-s", type=float, default=trials.READY_AGAIN_S, help="from a kill to READY; default: 10"
    )
    options = parser.parse_args()
    try:
        if options.inside:
            return _inside(options.inside, options.ready_limit_s)
        return _outside(options.json, None if options.static else options.ready_limit_s)
    except EdgeError as error:
        print(f"systemd_check: {error}", file=sys.stderr)
        return 2


def _outside(report: Path | None, limit_s: float | None) -> int:
    missing = [name for name in ("systemd-analyze", "systemctl", "unshare") if shutil.which(name) is None]
    if missing:
        raise SystemdCheckError(
            f"{', '.join(missing)}: not found; expected systemd and util-linux (Debian: apt-get install systemd)"
        )
    with tempfile.TemporaryDirectory(prefix="edge-units-") as folder:
        units = write_units(Path(folder), EDGE)
        found, said = scores(units), complaints(units)
    _show_scores(found, said)
    figures: dict[str, Any] = {"limit": LIMIT, "scores": found, "verify": said, "trials": []}
    if limit_s is not None:
        figures |= _in_namespace(limit_s)
    good = max(found.values()) <= LIMIT and not said and all(t["passed"] for t in figures["trials"])
    if report:
        write_whole(report, json.dumps({"passed": good, **figures}, indent=1) + "\n")
    return int(not good)


def _show_scores(found: dict[str, float], said: list[str]) -> None:
    table = Table(title=f"exposure (at most {LIMIT})", title_justify="left")
    table.add_column("unit")
    table.add_column("score", justify="right")
    for name, score in found.items():
        table.add_row(name, f"[{'green' if score <= LIMIT else 'red'}]{score}[/]")
    console.print(table)
    console.print("verify: silent" if not said else "verify:\n" + "\n".join(said), markup=False)


def _in_namespace(limit_s: float) -> dict[str, Any]:
    """The same program again, as the only one that sees the private mounts."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    with tempfile.TemporaryDirectory(prefix="edge-units-") as folder:
        result = Path(folder) / "trials.json"
        command = [
            "unshare",
            *user,
            "--mount",
            sys.executable,
            "-m",
            "tools.systemd_check",
            "--inside",
            str(result),
            "--ready-limit-s",
            f"{limit_s:g}",
        ]
        code = subprocess.call(command)
        if not result.exists():
            raise SystemdCheckError(f"the units were not tried (exit code {code}); see above")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def _inside(result: Path, limit_s: float) -> int:
    enter()
    units = write_units(BASE / "units", EDGE)
    twin, port = line.start_twin(PARTS, M_PER_S)
    done: list[Trial] = []
    try:
        line.write_line(port, M_PER_S)
        with manager([unit.name for unit in units if unit.suffix == ".service"]) as running:
            console.print(f"set back here, as a user manager has none of it: {', '.join(running.left_out)}")
            try:
                for trial in _trials(running, twin, limit_s):
                    done.append(trial)
                    _show(trial)
            except SystemdCheckError as error:
                done.append(Trial(str(error), passed=False))
                _show(done[-1])
                console.print(running.log()[-4000:], markup=False, highlight=False)
            left_out = running.left_out
    finally:
        twin.kill()
    write_whole(result, json.dumps({"set_back": left_out, "trials": [asdict(trial) for trial in done]}))
    return 0


def _trials(running: Any, twin: subprocess.Popen[str], limit_s: float) -> Iterator[Trial]:
    begins: list[tuple[str, int]] = []
    steps: dict[str, Callable[[], Trial]] = {
        "start": lambda: trials.start(running),
        "report": lambda: trials.killed(running, "report", limit_s),
        "inspection": lambda: trials.killed(running, "inspection", limit_s),
        "hung": lambda: trials.hung(running, limit_s),
        "camera": lambda: trials.away(running, "camera", limit_s),
        "actuation": lambda: trials.killed(running, "actuation", limit_s),
        "second instance": trials.second_instance,
        "config changed": trials.changed_file,
        "bad line file": lambda: trials.bad_file(running),
        "accounts": lambda: trials.accounts(running, twin, begins),
    }
    for name, trial in steps.items():
        begins.append((name, time.monotonic_ns()))
        yield trial()


def _show(trial: Trial) -> None:
    words = "  ".join(f"{key} {value}" for key, value in trial.figures.items())
    console.print(
        f"[{'green' if trial.passed else 'red'}]{'ok  ' if trial.passed else 'FAIL'}[/] {trial.name:20s} {words}"
    )


if __name__ == "__main__":
    sys.exit(main())
