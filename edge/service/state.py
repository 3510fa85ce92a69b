"""How a running line is, seen from outside: what a person, a health check or a fleet asks."""

import os
from pathlib import Path

from edge import _core
from edge.errors import RegionError
from edge.service.prepare import Prepared
from edge.settings import Settings

SERVICES = Path("/run/edge")
_OLDEST_BEAT_NS = 2_000_000_000
_WARM = {_core.LoopState.READY, _core.LoopState.HELD}


class LineState(Settings):
    """One look at a line."""

    name: str
    folder: Path
    healthy: bool
    """Every process beats, the engines are warm and the PLC is told READY."""
    faults: tuple[str, ...]
    """What keeps it from being healthy."""
    line_ready: bool
    loop: str
    beat_age_ms: dict[str, float]
    plc_connected: bool
    parts_decided: int
    plc_unconfirmed: int
    journal: str
    """``none``, or ``written`` or ``paused``, and how many records wait in the ring or are lost."""
    config: str
    """``as started``, or which files are others now, or ``not known`` for a line that ``edge run`` started."""


def find_folder(line: str) -> Path:
    """Of a name, where services or ``edge run`` have it; a path is taken as it is. Raises RegionError."""
    if "/" in line:
        places = [Path(line)]
    else:
        base = Path(os.environ.get("EDGE_RUN_DIR", "/dev/shm"))  # noqa: S108  (only looked at)
        places = [SERVICES / line, base / f"edge-{os.getuid()}-{line}"]
    for folder in places:
        if (folder / "region").exists():
            return folder
    shown = ", ".join(map(str, places))
    raise RegionError(
        f"line '{line}' does not run: no region in {shown}; start it, or use its name or folder"
    )


def look(folder: Path) -> LineState:
    """Reads the shared counters; touches nothing. Raises RegionError when there is no region to read."""
    try:
        status = _core.Region.attach(str(folder / "region")).status
    except _core.CoreError as error:
        raise RegionError(str(error)) from error
    now = _core.now_ns()
    beats = {
        "actuation": status.actuation_beat_ns,
        "camera": status.camera_beat_ns,
        "inspection": status.loop_beat_ns,
    }
    loop = _core.LoopState(status.loop_state)
    faults = [
        f"{name}: {_silence(beat, now)}" for name, beat in beats.items() if now - beat > _OLDEST_BEAT_NS
    ]
    expected = {
        f"the loop is {loop.name.lower()}": loop in _WARM,
        "no PLC": bool(status.plc_connected),
        "the PLC is not told READY": bool(status.line_ready),
    }
    faults += [text for text, fine in expected.items() if not fine]
    prepared = (folder / "line.json").exists()
    changed = Prepared.load(folder).changed_files() if prepared else ()
    return LineState(
        name=Prepared.load(folder).name if prepared else folder.name.split("-", 2)[-1],
        folder=folder,
        healthy=not faults,
        faults=tuple(faults),
        line_ready=bool(status.line_ready),
        loop=loop.name.lower(),
        beat_age_ms={name: round((now - beat) / 1e6, 1) for name, beat in beats.items() if beat},
        plc_connected=bool(status.plc_connected),
        parts_decided=status.parts_decided,
        plc_unconfirmed=status.plc_unconfirmed,
        journal=_journal(status),
        config=f"changed on disk, counts after a restart: {', '.join(changed)}"
        if changed
        else "as started"
        if prepared
        else "not known",
    )


def _journal(status: _core.LineStatus) -> str:
    state = _core.JournalState(status.journal_state)
    if state is _core.JournalState.NONE:
        return "none"
    waiting = f", {status.journal_waiting} records wait" if state is _core.JournalState.PAUSED else ""
    lost = f", {status.journal_lost} lost" if status.journal_lost else ""
    return f"{state.name.lower()}{waiting}{lost}"


def _silence(beat_ns: int, now: int) -> str:
    return f"no beat for {(now - beat_ns) / 1e9:.1f} s" if beat_ns else "has not begun"
