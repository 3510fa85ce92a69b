"""A copy of a journal as one file, whole, also while it is written."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from edge.errors import RecordError
from edge.records.journal.query import JournalReader
from edge.records.journal.tables import CLOSED

_PAGES = 2_000
"""Between two looks at how far it has come."""
_LEFT_FREE_MIB = 256
"""Of the disk that takes the copy: the line may write its own records there."""
_MIB = 2**20


def copy(reader: JournalReader, path: Path, progress: Callable[[int, int], None]) -> None:
    """Everything that was committed when it began; ``progress`` takes pages left and pages in all.

    Raises RecordError: the place is taken or cannot be written, or the journal is broken; nothing is left there then.
    """
    if path.exists():
        raise RecordError(f"{path}: there is a file already; expected a new one, nothing is written over")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        free_mib, wanted_mib = (
            shutil.disk_usage(path.parent).free / _MIB,
            reader.bytes / _MIB + _LEFT_FREE_MIB,
        )
        if free_mib < wanted_mib:
            raise RecordError(
                f"{path}: {free_mib:.0f} MiB free; expected {wanted_mib:.0f}, what the journal takes and "
                f"{_LEFT_FREE_MIB} that stay free: choose a larger disk, or take a piece: edge journal export"
            )
        _copy(reader, part, progress)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (sqlite3.Error, OSError) as error:
        raise RecordError(
            f"{path}: the copy failed: {error}; choose a place with room for the journal, and look with edge journal "
            "check whether the journal itself can be read"
        ) from error
    finally:
        for end in ("", "-journal", "-wal", "-shm"):
            part.with_name(part.name + end).unlink(missing_ok=True)


def _copy(reader: JournalReader, part: Path, progress: Callable[[int, int], None]) -> None:
    target = sqlite3.connect(part, isolation_level=None)
    try:
        reader.backup(target, _PAGES, progress)
        # One file that says everything: no log beside it, and not marked as being written.
        target.execute("PRAGMA journal_mode = DELETE")
        if not reader.short:
            target.execute(f"PRAGMA application_id = {CLOSED}")
    finally:
        target.close()
