"""What is done to the running line, one trial after the other; each returns what was seen and whether it is good."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.systemd_check import line
from tools.systemd_check.line import ROLES, Unit, kill, state, wait
from tools.systemd_check.manager import Manager
from tools.systemd_check.places import NAME, Places
from tools.systemd_check.stall import stall_native_threads

READY_AGAIN_S = 10.0
"""On a device of its own; a machine that does other work beside may be given more (``--ready-limit-s``)."""
AWAY_S = 5.0
"""Longer than the twin's camera remembers parts: then their ids are ahead of their number."""
_PATIENCE_S = 60.0
UNSORTED, GOOD = 0, 1
"""Bins in the report of the twin."""


@dataclass(frozen=True)
class Trial:
    """One row of the table."""

    name: str
    passed: bool
    figures: Mapping[str, Any] = field(default_factory=dict)


def start(manager: Manager) -> Trial:
    """The target, from nothing to a PLC that is told READY."""
    began = time.monotonic()
    done = manager.ctl("start", f"edge@{NAME}.target")
    wait("every unit active", lambda: all(Unit.of(manager, role).active for role in ROLES), _PATIENCE_S)
    wait("the line ready", lambda: _line_ready(manager.places), _PATIENCE_S)
    seconds = time.monotonic() - began
    return Trial("start", done.returncode == 0, {"ready_s": round(seconds, 2)})


def killed(manager: Manager, role: str, limit_s: float) -> Trial:
    """kill -9 of one process: started again, and READY, while parts pass."""
    return _again(manager, role, f"{role} killed", kill, limit_s)


def away(manager: Manager, role: str, limit_s: float) -> Trial:
    """The same, again and again for some seconds: parts pass that nobody sees."""

    def hurt(pid: int) -> None:
        end = time.monotonic() + AWAY_S
        while time.monotonic() < end:
            if pid:
                kill(pid)
            time.sleep(0.1)
            pid = Unit.of(manager, role).pid

    return _again(manager, role, f"{role} away", hurt, limit_s + AWAY_S)


def hung(manager: Manager, limit_s: float) -> Trial:
    """The loop stands still, its Python goes on: only a watchdog that follows the loop can see it."""
    return _again(manager, "inspection", "loop hung", stall_native_threads, limit_s)


def _again(manager: Manager, role: str, name: str, hurt: Callable[[int], object], limit_s: float) -> Trial:
    wait("the line ready", lambda: _line_ready(manager.places), _PATIENCE_S)
    places = manager.places
    before, decided = Unit.of(manager, role), state(places).parts_decided
    others = {other: Unit.of(manager, other).pid for other in ROLES if other != role}
    began = time.monotonic()
    hurt(before.pid)
    if role == "inspection":
        not_ready_s = wait("READY taken back", lambda: not state(places).line_ready, _PATIENCE_S)
    wait(f"{role} started again", lambda: Unit.of(manager, role).restarts > before.restarts, _PATIENCE_S)
    started_s = time.monotonic() - began
    wait(f"{role} active", lambda: Unit.of(manager, role).active, _PATIENCE_S)
    active_s = time.monotonic() - began
    wait("the line ready", lambda: _line_ready(manager.places), _PATIENCE_S)
    seconds = time.monotonic() - began
    wait("parts decided again", lambda: state(places).parts_decided > decided, _PATIENCE_S)
    untouched = others == {other: Unit.of(manager, other).pid for other in others}
    figures: dict[str, Any] = {
        "started_s": round(started_s, 2),
        "active_s": round(active_s, 2),
        "ready_again_s": round(seconds, 2),
        "others_untouched": untouched,
    }
    if role == "inspection":
        figures["ready_taken_back_s"] = round(not_ready_s, 3)
    return Trial(name, seconds <= limit_s and untouched, figures)


def second_instance(places: Places) -> Trial:
    """Another process of the same line is refused, in words."""
    command = [sys.executable, "-m", "edge.cli", "service", "run", "actuation", str(places.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Trial(
        "second instance",
        done.returncode == 2 and "running already" in done.stderr,
        {"exit": done.returncode},
    )


def changed_file(places: Places) -> Trial:
    """The line goes on as it was started, and its state says that the file is another one."""
    before = state(places).config
    with places.line_file.open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    after = state(places).config
    return Trial("config changed", before == "as started" and str(places.line_file) in after, {"says": after})


def bad_file(manager: Manager) -> Trial:
    """A bad line file: its message in the log, and nothing of that line runs."""
    manager.places.line_file.with_name("bad.yaml").write_text(
        "name: bad\ncamera: {kind: nothing}\n", encoding="utf-8"
    )
    done = manager.ctl("start", "edge-line@bad.service", "edge-actuate@bad.service")
    told = "bad.yaml:2" in manager.logged()
    idle = manager.show("edge-actuate@bad.service").get("MainPID") == "0"
    return Trial("bad line file", done.returncode != 0 and told and idle, {"message_in_log": told})


def accounts(manager: Manager, twin: subprocess.Popen[str], begins: Sequence[tuple[str, int]]) -> Trial:
    """The line stops; then no part that went by may lack a bin, no defect lie among the good, no record be lost."""
    places = manager.places
    decided = state(places).parts_decided
    wait("the journal", lambda: line.journal(places).records >= decided, _PATIENCE_S)
    manager.ctl("stop", f"edge@{NAME}.target", f"edge-line@{NAME}.service")
    twin.terminate()
    twin.wait(20)
    parts = line.twin_report()["parts"]
    last = max((index for index, part in enumerate(parts) if part["bin"] != UNSORTED), default=-1)
    gone = parts[: last + 1]  # those behind have not come to the gate
    kept = line.journal(places)
    figures = {
        "parts": len(gone),
        "unsorted": sum(part["bin"] == UNSORTED for part in gone),
        "escapes": sum(part["class"] not in ("flawless", "no_part") and part["bin"] == GOOD for part in gone),
        "verdicts_twice": _by_trial([part for part in gone if part["verdict_count"] > 1], begins),
        "diverted_without_verdict": _by_trial([part for part in gone if part["verdict_count"] == 0], begins),
        "journal_records": kept.records,
        "journal_missing": kept.missing,
    }
    wrong = ("unsorted", "escapes", "verdicts_twice", "journal_missing")
    # Without a camera nobody sees a part, and what is older than two seconds is not told again: diverted, unnamed.
    nameless = set(figures["diverted_without_verdict"]) - {"camera"}
    return Trial("accounts", bool(gone) and not nameless and not any(figures[key] for key in wrong), figures)


def _by_trial(parts: list[dict[str, Any]], begins: Sequence[tuple[str, int]]) -> dict[str, int]:
    """How many, by the trial during which they crossed the sensor; ``begins``: name and time of each."""
    found: dict[str, int] = {}
    for part in parts:
        name = next((n for n, at_ns in reversed(begins) if at_ns <= part["crossing_ns"]), "before")
        found[name] = found.get(name, 0) + 1
    return found


def _line_ready(places: Places) -> bool:
    return (places.folder / "region").exists() and state(places).line_ready
