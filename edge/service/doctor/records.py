"""What is kept of the parts: how long the disk lasts, and what has been lost. Nothing is written."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from edge.config import LineConfig
from edge.errors import EdgeError
from edge.records.archive.settings import archive_folder
from edge.records.journal.query import JournalReader
from edge.records.journal.settings import BYTES_PER_PART, JournalSettings, journal_path
from edge.service.doctor.finding import Finding, bad, good, skipped
from edge.service.state import find_folder, look

_MIB = 2**20
FASTEST_PARTS_PER_S = 60.0
"""What the runtime is built for; a slower line keeps its records for longer."""
WANTED_H = 24.0
RECENT_DAYS = 7.0
"""What was lost before has been seen, or nobody will."""
_TROUBLE = ("journal_paused", "unclosed", "corrupt", "moved", "archive_gaps", "archive_full")
"""Kinds of events after which records or pictures are missing."""


@dataclass(frozen=True)
class Room:
    """Of a disk, MiB."""

    free: float
    pictures_min_free: float
    pictures_grow: float
    """What pictures may still take of it."""

    @property
    def for_journal(self) -> float:
        """When the pictures have all that they may have: they stop where their ``min_free_mib`` begins."""
        return max(self.free - self.pictures_grow, min(self.free, self.pictures_min_free))


def records(config: LineConfig) -> Iterator[Finding]:
    """The journal's room, its losses, and whether it is written now; the room of the pictures."""
    archive = config.records.archive
    journal = config.records.journal or JournalSettings()  # as the services do; edge run keeps none then
    path = journal_path(config.name, journal)
    yield journal_room(path, _used_mib(path), journal, _room(config, path))
    yield journal_losses(path)
    if archive is not None:
        folder = archive_folder(config.name, archive)
        free = _free_mib(folder)
        text, wanted = f"{folder}: {free:.0f} MiB free", f"min_free_mib, {archive.min_free_mib:g}"
        if free < archive.min_free_mib:
            yield bad("pictures", f"{text}: none is added", wanted, _du(folder))
        else:
            yield good("pictures", f"{text}; they take at most {archive.max_mib:g} MiB, the oldest go")
    yield from written_now(config.name)


def journal_room(path: Path, used_mib: float, settings: JournalSettings, room: Room) -> Finding:
    """How long records last until the oldest make room, or the disk is full."""
    max_mib, keep_days = settings.max_mib, settings.keep_days
    disk_mib = used_mib + room.for_journal
    kept_mib = min(max_mib, disk_mib)
    hours = kept_mib * _MIB / BYTES_PER_PART / FASTEST_PARTS_PER_S / 3600
    per_s = kept_mib * _MIB / BYTES_PER_PART / (keep_days * 86_400)
    text = (
        f"{path}: {kept_mib:.0f} MiB last {hours:.1f} h at {FASTEST_PARTS_PER_S:g} parts/s, or keep_days "
        f"({keep_days:g}) at {per_s:.2g} parts/s"
    )
    if disk_mib < max_mib:
        found = f"{text}; then the disk is full, before max_mib ({max_mib:g})"
        wanted = f"room for max_mib beside the pictures: {max_mib - disk_mib:.0f} MiB more"
        return bad("journal_room", found, wanted, f"set records.journal.max_mib lower, or {_du(path.parent)}")
    if hours < WANTED_H:
        return bad("journal_room", text, f"{WANTED_H:g} h", "raise records.journal.max_mib in the line file")
    return good("journal_room", text)


def journal_losses(path: Path) -> Finding:
    """Records that are missing, and what happened to the journal, in the last days."""
    if not path.is_file():
        return skipped("journal_records", f"{path}: not begun yet")
    check = f"edge journal check --journal {path}"
    begin = (datetime.now().astimezone() - timedelta(days=RECENT_DAYS)).timestamp()
    try:
        with JournalReader(path) as reader:
            lost = sum(gap["records"] for gap in reader.gaps() if _seconds(gap["found"]) >= begin)
            events = [
                event
                for event in reader.events()
                if event["kind"] in _TROUBLE and _seconds(event["time"]) >= begin
            ]
            short = reader.short
    except EdgeError as error:
        return bad("journal_records", str(error), "a journal that can be read", check)
    told = [short] if short else []
    told += [f"{event['time'][:19]} {event['kind']}: {event['text']}" for event in events[-3:]]
    if lost or told:
        found = f"{lost} records lost in {RECENT_DAYS:g} days" + "".join(f"; {text}" for text in told)
        return bad("journal_records", found, "none", f"{check}; {_du(path.parent)}")
    return good("journal_records", f"none lost in {RECENT_DAYS:g} days")


def written_now(line: str) -> Iterator[Finding]:
    """Of a line that runs; one that does not has nothing to write."""
    try:
        state = look(find_folder(line))
    except EdgeError:
        return
    if state.journal.startswith("paused"):
        log = f"journalctl -u edge-report@{line} -n 20"
        yield bad("journal_now", state.journal, "a journal that is written", log, fails=True)
    else:
        yield good("journal_now", state.journal)


def _room(config: LineConfig, path: Path) -> Room:
    free, archive = _free_mib(path), config.records.archive
    folder = archive_folder(config.name, archive)
    if archive is None or _disk_of(folder) != _disk_of(path):
        return Room(free, 0.0, 0.0)
    used = sum(file.stat().st_size for file in folder.glob("*/*.png")) / _MIB
    return Room(free, archive.min_free_mib, max(0.0, archive.max_mib - used))


def _there(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def _disk_of(path: Path) -> int:
    return _there(path).stat().st_dev


def _free_mib(path: Path) -> float:
    return shutil.disk_usage(_there(path)).free / _MIB


def _used_mib(path: Path) -> float:
    return path.stat().st_size / _MIB if path.is_file() else 0.0


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _du(folder: Path) -> str:
    return f"make room: sudo du -xh --max-depth=2 {_there(folder)} | sort -h | tail"
