"""The schema of the journal, and the steps by which an older one becomes this one."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from edge.errors import RecordError
from edge.records.journal.columns import COLUMNS, SCORES

SCHEMA = 6
OPEN, CLOSED = 0x45444701, 0x45444700
"""``application_id``: while a process writes, and after it has ended in order. A copy that says OPEN and has no
write-ahead log beside it lacks what was only there."""

_CLOCK = """
CREATE TABLE clock(
  one INTEGER PRIMARY KEY CHECK(one = 1), boot_id TEXT NOT NULL, wall_ns INTEGER NOT NULL, monotonic_ns INTEGER NOT
  NULL)
"""
"""When something was last written."""
TABLES = f"""
CREATE TABLE runs(
  id INTEGER PRIMARY KEY, ring_identity INTEGER NOT NULL UNIQUE, next_index INTEGER NOT NULL, started_wall_ns INTEGER
  NOT NULL, line TEXT NOT NULL, classes TEXT NOT NULL, config_sha256 TEXT NOT NULL, version TEXT NOT NULL, boot_id TEXT
  NOT NULL DEFAULT '', recipes TEXT);
CREATE TABLE parts(
  {", ".join(f"{name} {'REAL' if name in SCORES else 'INTEGER'}" for name in COLUMNS)},
  PRIMARY KEY(run_id, ring_index)) WITHOUT ROWID;
CREATE INDEX parts_wall ON parts(wall_ns);
CREATE TABLE gaps(
  run_id INTEGER NOT NULL, first_index INTEGER NOT NULL, last_index INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
  PRIMARY KEY(run_id, first_index));
CREATE TABLE events(
  id INTEGER PRIMARY KEY, wall_ns INTEGER NOT NULL, run_id INTEGER, kind TEXT NOT NULL, text TEXT NOT NULL);
{_CLOCK};
"""

MIGRATIONS: Mapping[int, str] = {
    1: "CREATE TABLE clock(one INTEGER PRIMARY KEY CHECK(one = 1), boot_id TEXT NOT NULL, offset_ns INTEGER NOT NULL)",
    2: f"DROP TABLE clock;\n{_CLOCK};\nALTER TABLE runs ADD COLUMN boot_id TEXT NOT NULL DEFAULT ''",
    3: "ALTER TABLE parts ADD COLUMN recipe INTEGER NOT NULL DEFAULT 0",
    4: "ALTER TABLE parts ADD COLUMN recipe_earlier INTEGER NOT NULL DEFAULT 0",
    5: "ALTER TABLE runs ADD COLUMN recipes TEXT",
}
"""From that schema to the next one. A step is never changed once it has been released. A column that is new in COLUMNS
raises SCHEMA and comes by a step, ``ALTER TABLE parts ADD COLUMN``; where it stands does not matter."""


def create(db: sqlite3.Connection) -> None:
    """All tables in a file that is empty, or none."""
    _in_one(db, TABLES, SCHEMA)


def bring_up(db: sqlite3.Connection, path: Path) -> int | None:
    """Takes the steps that are missing, each whole or not at all; returns the schema before, None: there were none.

    Raises RecordError: a newer release wrote it, or no step leads here.
    """
    before = schema_of(db)
    if before > SCHEMA or before < min(MIGRATIONS):
        raise RecordError(
            f"{path}: journal of schema {before} found, {min(MIGRATIONS)} to {SCHEMA} expected; move it aside, or "
            "install the release of edge that wrote it (its edge journal export turns it into CSV)"
        )
    for number in range(before, SCHEMA):
        _in_one(db, MIGRATIONS[number], number + 1)
    return before if before < SCHEMA else None


def check_readable(db: sqlite3.Connection, path: Path) -> None:
    """Older files can be asked too: what they lack is NULL. Raises RecordError: a newer release wrote it."""
    found = schema_of(db)
    if not min(MIGRATIONS) <= found <= SCHEMA:
        raise RecordError(
            f"{path}: journal of schema {found} found, {min(MIGRATIONS)} to {SCHEMA} expected by this release; "
            "ask the release of edge that wrote it"
        )


def is_empty(db: sqlite3.Connection) -> bool:
    """Whether nothing has been made of it yet."""
    return schema_of(db) == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def schema_of(db: sqlite3.Connection) -> int:
    """0: not a journal, or an empty one."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def columns_of(db: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """In the order of the file."""
    return tuple(row[1] for row in db.execute(f"PRAGMA table_info({table})"))


def _in_one(db: sqlite3.Connection, statements: str, schema: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements.split(";\n"):
            if statement.strip():
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {schema}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
