"""The line that the units run: twin camera and PLC beside it, and what is read back."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge.config import example_path
from edge.service.state import LineState, look
from tools.errors import SystemdCheckError
from tools.systemd_check.manager import Manager
from tools.systemd_check.places import BASE, NAME, Places

_CAMERA, _REPORT = BASE / "camera.sock", BASE / "twin.json"
ROLES = {
    "actuation": "edge-actuate",
    "inspection": "edge-inspect",
    "camera": "edge-camera",
    "report": "edge-report",
}
"""Role → unit."""


def unit(role: str) -> str:
    """Of our line."""
    return f"{ROLES[role]}@{NAME}.service"


def start_twin(parts: int, m_per_s: float) -> tuple[subprocess.Popen[str], int]:
    """Returns it and the port of its PLC, when both listen."""
    twin = subprocess.Popen(
        [
            *(sys.executable, "-m", "tools.twin", "line", "--world", str(BASE / "world")),
            *("--parts", str(parts), "--seed", "7", "--speed", f"{m_per_s:g}", "--plc-port", "0"),
            *("--camera-socket", str(_CAMERA), "--report", str(_REPORT), "--mode", "pulse"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert twin.stdout is not None
    for line in twin.stdout:
        if "ready port=" in line:
            _CAMERA.chmod(0o666)  # the units may run as a user of their own
            return twin, int(line.split("ready port=")[1].split()[0])
    raise SystemdCheckError(f"the twin ended with {twin.wait()} before it was ready")


def write_line(path: Path, port: int, m_per_s: float) -> None:
    """The demo line, with the twin as its camera and PLC over their sockets."""
    data = yaml.safe_load(example_path("demo.yaml").read_text(encoding="utf-8"))
    data["name"] = NAME
    data["camera"]["socket"] = str(_CAMERA)
    data["conveyor"]["m_per_s"] = m_per_s
    data["plc"].update(kind="tcp", host="127.0.0.1", port=port)
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


def wait(what: str, done: Callable[[], bool], limit_s: float) -> float:
    """Seconds that it took. Raises SystemdCheckError after the limit."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > limit_s:
            raise SystemdCheckError(f"{what}: not within {limit_s:g} s")
        time.sleep(0.02)
    return time.monotonic() - began


@dataclass(frozen=True)
class Unit:
    """A service as its manager sees it."""

    pid: int
    active: bool
    restarts: int

    @classmethod
    def of(cls, manager: Manager, role: str) -> "Unit":
        """Asks."""
        shown = manager.show(unit(role))
        return cls(
            int(shown.get("MainPID", 0)), shown.get("ActiveState") == "active", int(shown.get("NRestarts", 0))
        )


def state(places: Places) -> LineState:
    """From the line's shared counters."""
    return look(places.folder)


def twin_report() -> dict[str, Any]:
    """Truth and bin of each part, of a twin that has ended."""
    found: dict[str, Any] = json.loads(_REPORT.read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class JournalCount:
    """What the reporting process has kept."""

    parts: int
    records: int
    missing: int
    """Records of the ring between the first and the last one that are not there."""


def journal(places: Places) -> JournalCount:
    """Reads the journal as anybody may, beside its writer."""
    with sqlite3.connect(f"file:{places.journal}?mode=ro", uri=True) as database:
        row = database.execute(
            "SELECT COUNT(DISTINCT part_id), COUNT(*), COALESCE(MAX(ring_index) - MIN(ring_index) + 1, 0) FROM parts"
        ).fetchone()
    return JournalCount(row[0], row[1], row[2] - row[1])


def kill(pid: int) -> None:
    """As the out-of-memory killer would."""
    os.kill(pid, 9)
