"""The trials in their order, run where a manager of services is of our own."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from engines.whole_file import write_whole
from tools.errors import SystemdCheckError
from tools.systemd_check import installed, line, trials
from tools.systemd_check.manager import Manager, enter, manager, system_manager
from tools.systemd_check.places import BASE
from tools.systemd_check.scores import write_units
from tools.systemd_check.trials import Trial

PARTS, M_PER_S = 2000, 0.4
"""More than go by during the trials."""
Steps = dict[str, Callable[[], Trial]]
console = Console()


def in_user_manager(result: Path, limit_s: float) -> None:
    """In a mount namespace of our own: the units with what a user's manager cannot do set back."""
    enter()
    units = write_units(BASE / "units", installed.EDGE)
    twin, port = line.start_twin(PARTS, M_PER_S)
    try:
        with manager([unit.name for unit in units if unit.suffix == ".service"]) as running:
            line.write_line(running.places.line_file, port, M_PER_S)
            console.print(f"set back here, as a user manager has none of it: {', '.join(running.left_out)}")
            _try_all(result, running, lambda begins: _steps(running, twin, limit_s, begins))
    finally:
        twin.kill()


def in_system(result: Path, limit_s: float) -> None:
    """In a booted system that has the package: the line is installed, tried as it is, and uninstalled."""
    BASE.mkdir(mode=0o755)
    twin, port = line.start_twin(PARTS, M_PER_S)
    running, line_file = system_manager(), BASE / "check.yaml"
    line.write_line(line_file, port, M_PER_S)

    def steps(begins: list[tuple[str, int]]) -> Steps:
        tried = _steps(running, twin, limit_s, begins)
        return {
            "install": lambda: installed.put(line_file),
            "start": tried.pop("start"),
            "rights": lambda: installed.rights(running),
            **tried,
            "uninstall": lambda: installed.removed(running),
        }

    try:
        _try_all(result, running, steps)
    finally:
        twin.kill()


def _steps(
    running: Manager, twin: subprocess.Popen[str], limit_s: float, begins: list[tuple[str, int]]
) -> Steps:
    return {
        "start": lambda: trials.start(running),
        "report": lambda: trials.killed(running, "report", limit_s),
        "inspection": lambda: trials.killed(running, "inspection", limit_s),
        "hung": lambda: trials.hung(running, limit_s),
        "camera": lambda: trials.away(running, "camera", limit_s),
        "actuation": lambda: trials.killed(running, "actuation", limit_s),
        "second instance": lambda: trials.second_instance(running.places),
        "config changed": lambda: trials.changed_file(running.places),
        "bad line file": lambda: trials.bad_file(running),
        "accounts": lambda: trials.accounts(running, twin, begins),
    }


def _try_all(result: Path, running: Manager, steps: Callable[[list[tuple[str, int]]], Steps]) -> None:
    done: list[Trial] = []
    try:
        for trial in _one_by_one(steps):
            done.append(trial)
            _show(trial)
    except SystemdCheckError as error:
        done.append(Trial(str(error), passed=False))
        _show(done[-1])
        console.print(running.logged()[-4000:], markup=False, highlight=False)
    found = {"set_back": running.left_out, "trials": [asdict(trial) for trial in done]}
    write_whole(result, json.dumps(found))


def _one_by_one(steps: Callable[[list[tuple[str, int]]], Steps]) -> Iterator[Trial]:
    begins: list[tuple[str, int]] = []
    for name, trial in steps(begins).items():
        begins.append((name, time.monotonic_ns()))
        yield trial()


def _show(trial: Trial) -> None:
    words = "  ".join(f"{key} {value}" for key, value in trial.figures.items())
    console.print(
        f"[{'green' if trial.passed else 'red'}]{'ok  ' if trial.passed else 'FAIL'}[/] {trial.name:20s} {words}"
    )
