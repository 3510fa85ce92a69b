"""The file: opened, checked, put aside when it is broken, written in one transaction a batch."""

import contextlib
import errno
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge.errors import JournalDiskError, RecordError
from edge.records.journal import retention, tables
from edge.records.journal.columns import COLUMNS
from edge.records.journal.moment import Moment, passed
from edge.service.lock import try_lock
from edge.version import __version__

_MIB = 2**20
_INSERT = f"INSERT INTO parts({','.join(COLUMNS)}) VALUES({','.join('?' * len(COLUMNS))})"


@dataclass(frozen=True)
class RunFacts:
    """Whose parts these are."""

    line: str
    classes: tuple[str, ...]
    config_sha256: str
    version: str
    recipes: tuple[tuple[int, bool, str], ...] = ()
    """Of those in the recipe store: number, whether it stands by for the one of that number, id."""


@dataclass(frozen=True)
class Run:
    """One ring file's parts. ``next_index``: of the first record that is not in the journal."""

    id: int
    next_index: int
    lost: int
    """Records that the ring had dropped before they could be kept."""


class Journal:
    """Open for writing; one process at a time. SQLite errors come through: the writer decides what to do."""

    def __init__(self, path: Path) -> None:
        """Raises RecordError: no folder, another process writes it, made by a newer release.

        As JournalDiskError where a journal is there, and its disk does not let it be opened now.
        """
        self.path = path
        known = _has_content(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
        except OSError as error:
            if known and error.errno in _PASSING:
                raise JournalDiskError(f"{path}: {error.strerror}") from error
            raise RecordError(
                f"{path}: the journal cannot be kept here: {error.strerror}; expected a folder that "
                "this user may write; see records.journal.path"
            ) from error
        try:
            aside = _put_aside_if_broken(path)
            self._db = _open(path)
            self._file = _identity(path)
            try:
                self._begin(aside)
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            self._lock.close()
            if known:
                raise JournalDiskError(f"{path}: {error}") from error
            raise RecordError(
                f"{path}: the journal cannot be opened: {error}; expected a writable disk with room on it"
            ) from error
        except RecordError:
            self._lock.close()
            raise

    def _begin(self, aside: Path | None) -> None:
        """Tells what came before, and says in the file itself that it is being written now."""
        before = tables.bring_up(self._db, self.path)
        last = self._db.execute("SELECT boot_id, wall_ns, monotonic_ns FROM clock").fetchone()
        now = Moment.now()
        with self.writing():
            if aside:
                self.event("corrupt", f"the journal before was broken and lies at {aside}; this one is new")
            if before is not None:
                self.event("schema", f"brought from {before} to {tables.SCHEMA} by release {__version__}")
            for kind, text in passed(Moment(*last), now) if last else ():
                self.event(kind, text)
            self._keep_moment(now)
        self._unclosed = self._db.execute("PRAGMA application_id").fetchone()[0] == tables.OPEN
        _mark(self._db, tables.OPEN)

    @property
    def in_place(self) -> bool:
        """Whether what is written still goes to the file of this name: it may have been moved or removed."""
        return _identity(self.path) == self._file

    def run(self, ring_identity: int, facts: RunFacts, first: int = 0) -> Run:
        """The run of a ring file; where the ring is new, a new one from record ``first`` on."""
        row = self._db.execute(
            "SELECT id, next_index FROM runs WHERE ring_identity = ?", (ring_identity,)
        ).fetchone()
        last = self._db.execute(
            "SELECT config_sha256, id, next_index FROM runs ORDER BY id DESC LIMIT 1"
        ).fetchone()
        with self.writing():
            if row is None:
                cursor = self._db.execute(
                    "INSERT INTO runs(ring_identity, next_index, started_wall_ns, line, classes, config_sha256, "
                    "version, boot_id, recipes) VALUES(?, ?, ?, ?, ?, ?, ?, ?, '[]')",
                    (
                        ring_identity,
                        first,
                        time.time_ns(),
                        facts.line,
                        json.dumps(facts.classes),
                        facts.config_sha256,
                        facts.version,
                        Moment.now().boot_id,
                    ),
                )
                row = (int(cursor.lastrowid or 0), first)
                if last is not None and self._unclosed:
                    text = (
                        f"nobody closed the journal: records of run {last[1]} from {last[2]} on, if any, "
                        "are not here"
                    )
                    self.event("unclosed", text, last[1])
            if last is not None and last[0] != facts.config_sha256:
                self.event(
                    "config", f"the configuration is {facts.config_sha256[:12]}, was {last[0][:12]}", row[0]
                )
                self._db.execute(
                    "UPDATE runs SET config_sha256 = ? WHERE id = ?", (facts.config_sha256, row[0])
                )
            self._add_recipes(int(row[0]), facts)
        lost = self._db.execute(
            "SELECT coalesce(sum(last_index - first_index + 1), 0) FROM gaps WHERE run_id = ?", (row[0],)
        ).fetchone()[0]
        return Run(int(row[0]), int(row[1]), int(lost))

    def _add_recipes(self, run_id: int, facts: RunFacts) -> None:
        """A ring file that outlives the line may see several under one number. NULL, of an older release, stays."""
        (text,) = self._db.execute("SELECT recipes FROM runs WHERE id = ?", (run_id,)).fetchone()
        if text is not None:
            known = {tuple(row) for row in json.loads(text)} | set(facts.recipes)
            self._db.execute("UPDATE runs SET recipes = ? WHERE id = ?", (json.dumps(sorted(known)), run_id))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of it, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk may have ended the transaction already
                self._db.execute("ROLLBACK")
            raise

    def add_parts(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows in the order of COLUMNS."""
        self._db.executemany(_INSERT, rows)

    def add_gap(self, run_id: int, first: int, last: int) -> None:
        """Records of the ring that were overwritten or broken before they could be kept."""
        self._db.execute("INSERT INTO gaps VALUES(?, ?, ?, ?)", (run_id, first, last, time.time_ns()))

    def advance(self, run_id: int, next_index: int) -> None:
        """Within the transaction of the rows: then nothing is kept twice, and nothing forgotten."""
        self._db.execute("UPDATE runs SET next_index = ? WHERE id = ?", (next_index, run_id))
        self._keep_moment(Moment.now())

    def _keep_moment(self, now: Moment) -> None:
        values = (now.boot_id, now.wall_ns, now.monotonic_ns)
        self._db.execute("INSERT OR REPLACE INTO clock VALUES(1, ?, ?, ?)", values)

    def event(self, kind: str, text: str, run_id: int | None = None, wall_ns: int | None = None) -> None:
        """Something to be told later; ``wall_ns`` None: it is now."""
        self._db.execute(
            "INSERT INTO events(wall_ns, run_id, kind, text) VALUES(?, ?, ?, ?)",
            (time.time_ns() if wall_ns is None else wall_ns, run_id, kind, text),
        )

    def forget(self, keep_days: float | None, max_mib: float) -> int:
        """Retention by age (None: not now) and size, a bounded piece of it; returns how many parts went."""
        with self.writing():
            gone = retention.forget_old(self._db, keep_days)
            if self.used_mib() > max_mib:
                gone += retention.forget_oldest(self._db)
            retention.forget_many(self._db)
        self._db.execute("PRAGMA incremental_vacuum(4000)")
        return gone

    def used_mib(self) -> float:
        """Pages in use."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return float((pages - free) * size / _MIB)

    def close(self) -> None:
        """The write-ahead log goes into the file where there is room for it; only then is it not marked as open."""
        with contextlib.suppress(sqlite3.Error):
            self._keep_moment(Moment.now())
            _mark(self._db, tables.CLOSED)
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._lock.close()


_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""What a disk that worked may come to."""


def _has_content(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_size > 0
    return False


def _identity(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(FileNotFoundError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _lock(path: Path) -> IO[bytes]:
    lock = try_lock(lock_path(path))
    if lock is None:
        raise RecordError(
            f"{path}: another process writes this journal; expected one reporting process a line; "
            "end the other (systemctl status 'edge-report@*'), or set records.journal.path"
        )
    return lock


def lock_path(path: Path) -> Path:
    """Beside a journal: held by who writes it."""
    return path.with_name(path.name + ".lock")


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        new = tables.is_empty(
            db
        )  # also one whose maker was killed, or had no room, before the tables were there
        if new:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        # A commit is on the disk before the records leave the ring for good.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 500")
        if new:
            tables.create(db)
    except BaseException:
        db.close()
        raise
    return db


def _mark(db: sqlite3.Connection, state: int) -> None:
    """In the file itself, so that a copy of it alone has it."""
    db.execute(f"PRAGMA application_id = {state}")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _put_aside_if_broken(path: Path) -> Path | None:
    """A journal that SQLite cannot read through is kept for later; returns where it lies now."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        # Read-only: closing it must not put the log into the file before the file is known to be sound.
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
        ) as db:
            if db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                return None
    except sqlite3.OperationalError:
        return None  # locked, or a disk that fails: nothing is known of the file
    except sqlite3.DatabaseError:
        pass
    aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}")
    log = path.with_name(f"{path.name}-wal")
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)  # an index of the log; SQLite makes it again
    if log.exists() and log.stat().st_size:
        log.rename(aside.with_name(f"{aside.name}-wal"))
    log.unlink(missing_ok=True)
    path.rename(aside)
    return aside
