"""What is old goes: parts, and with them the gaps, events and runs of their time. A bounded piece at a time."""

import sqlite3
import time

_PLAUSIBLE_NS = 1_577_836_800_000_000_000
"""2020: what is stamped before it is of a clock that had not been set, and how old it is nobody knows."""
_PIECE = 20_000
_BESIDE = 100_000
"""Gaps, and events, beyond this many go whatever their age: a clock or a disk that keeps failing fills no disk."""
_OLDEST = (
    "DELETE FROM parts WHERE (run_id, ring_index) IN "
    "(SELECT run_id, ring_index FROM parts WHERE wall_ns BETWEEN ? AND ? ORDER BY wall_ns LIMIT ?)"
)
_EVER_NS = -(2**63), 2**63 - 1


def forget_old(db: sqlite3.Connection, keep_days: float | None) -> int:
    """By age; None: not now. Within a transaction; returns how many parts went."""
    if keep_days is None:
        return 0
    limit_ns = time.time_ns() - int(keep_days * 86_400e9)
    gone = db.execute(_OLDEST, (_PLAUSIBLE_NS, limit_ns, _PIECE)).rowcount
    if gone < _PIECE:
        _forget_beside(db, limit_ns)
    return gone


def forget_oldest(db: sqlite3.Connection) -> int:
    """Whatever its age. Within a transaction; returns how many parts went."""
    gone = db.execute(_OLDEST, (*_EVER_NS, _PIECE)).rowcount
    first_ns = db.execute("SELECT min(wall_ns) FROM parts").fetchone()[0]
    _forget_beside(db, time.time_ns() if first_ns is None else first_ns - 1)
    return gone


def forget_many(db: sqlite3.Connection) -> None:
    """Gaps and events that are too many. Within a transaction."""
    for table in ("gaps", "events"):
        db.execute(f"DELETE FROM {table} WHERE rowid <= (SELECT max(rowid) FROM {table}) - {_BESIDE}")  # noqa: S608


def _forget_beside(db: sqlite3.Connection, limit_ns: int) -> None:
    """The newest event of each kind stays: what it tells may still hold. So does the newest run."""
    aged = f"wall_ns BETWEEN {_PLAUSIBLE_NS} AND {limit_ns}"
    db.execute(f"DELETE FROM gaps WHERE {aged}")  # noqa: S608
    db.execute(f"DELETE FROM events WHERE {aged} AND id NOT IN (SELECT max(id) FROM events GROUP BY kind)")  # noqa: S608
    db.execute(
        f"DELETE FROM runs WHERE started_{aged} AND id < (SELECT max(id) FROM runs) "  # noqa: S608
        "AND NOT EXISTS (SELECT 1 FROM parts WHERE run_id = runs.id) "
        "AND NOT EXISTS (SELECT 1 FROM gaps WHERE run_id = runs.id) "
        "AND NOT EXISTS (SELECT 1 FROM events WHERE run_id = runs.id)"
    )
