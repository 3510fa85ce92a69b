"""Questions to a journal: read only, also while it is written, and from a copy on a disk that cannot be written."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import RecordError
from edge.records.journal import tables
from edge.records.journal.columns import AFTER_TRIGGER, COLUMNS, NAMES, name_of
from edge.records.journal.moment import iso
from edge.records.journal.store import lock_path
from edge.records.journal.throttling import throttled, timeline_of
from edge.service.lock import is_locked
from edge.service.telemetry.timeline import Timeline

_CLASS_COLUMNS = ("class_id", "judged_class_id", "gate_class_id")


@dataclass(frozen=True)
class Filter:
    """Which parts; None: any."""

    since_ns: int | None = None
    until_ns: int | None = None
    verdict: str | None = None
    """What finally held."""
    reason: str | None = None
    part: int | None = None
    class_name: str | None = None
    last: int | None = None

    def where(self, classes: Mapping[int, tuple[str, ...]]) -> tuple[str, list[Any]]:
        """SQL and its arguments. Raises RecordError for a name that does not exist."""
        parts: list[str] = ["1"]
        arguments: list[Any] = []
        for text, value in (
            ("wall_ns >= ?", self.since_ns),
            ("wall_ns < ?", self.until_ns),
            ("final_verdict = ?", _number("final_verdict", self.verdict)),
            ("final_reason = ?", _number("final_reason", self.reason)),
            ("part_id = ?", self.part),
        ):
            if value is not None:
                parts.append(text)
                arguments.append(value)
        if self.class_name is not None:
            ids = {
                (run, names.index(self.class_name))
                for run, names in classes.items()
                if self.class_name in names
            }
            if not ids:
                known = sorted({name for names in classes.values() for name in names})
                raise RecordError(
                    f"--class '{self.class_name}': no run of this journal knows it; known: {known}"
                )
            parts.append("(" + " OR ".join("(run_id = ? AND class_id = ?)" for _ in ids) + ")")
            arguments += [value for pair in sorted(ids) for value in pair]
        return " AND ".join(parts), arguments


class JournalReader:
    """An open journal. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Raises RecordError: no such file, no journal, another release's."""
        if not path.is_file():
            raise RecordError(
                f"{path}: no journal here; expected the file of a line whose reporting process has run; "
                "give it with --journal"
            )
        self._path = path
        self._log_bytes = _log_bytes(path)
        self._without_log = False
        with contextlib.ExitStack() as stack:
            try:
                self._db = stack.enter_context(contextlib.closing(self._connect()))
                tables.check_readable(self._db, path)
                rows = self._db.execute("SELECT id, classes FROM runs").fetchall()
            except sqlite3.DatabaseError as error:
                raise RecordError(
                    f"{path}: not a journal that can be read: {error}; look for a copy, or start the reporting "
                    "process: it puts a broken journal aside and begins a new one"
                ) from error
            stack.pop_all()
        self.classes = {int(run): tuple(json.loads(names)) for run, names in rows}

    def _connect(self) -> sqlite3.Connection:
        # A journal in WAL mode wants files beside it; where these cannot be, it is read as it lies there.
        name = self._path.absolute().as_uri()
        for options in ("mode=ro", "mode=ro&immutable=1"):
            db = sqlite3.connect(f"{name}?{options}", uri=True, timeout=5.0)
            try:
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.OperationalError:
                db.close()
                continue
            except sqlite3.DatabaseError:
                db.close()
                raise
            self._without_log = "immutable" in options
            return db
        return sqlite3.connect(f"{name}?mode=ro", uri=True)

    @property
    def short(self) -> str:
        """Why the newest parts may be missing; empty: they are not."""
        log_name = f"{self._path.name}-wal"
        if self._without_log and self._log_bytes:
            return (
                f"{self._path}: {log_name} beside it cannot be used, because nothing can be written in this folder: "
                "the newest parts are missing; copy both files to a folder that you may write, and ask there"
            )
        state = self._db.execute("PRAGMA application_id").fetchone()[0]
        if (
            state != tables.OPEN
            or self._log_bytes
            or _log_bytes(self._path)
            or is_locked(lock_path(self._path), unseen=True)
        ):
            return ""
        return (
            f"{self._path}: copied while it was written, without {log_name}: the newest parts are missing; copy both "
            "files, or make the copy with edge journal copy"
        )

    @property
    def bytes(self) -> int:
        """Of a copy."""
        pages, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
        return int(pages * size)

    @property
    def schema(self) -> int:
        """Of the file."""
        return tables.schema_of(self._db)

    def backup(self, target: sqlite3.Connection, pages: int, progress: Callable[[int, int], None]) -> None:
        """All of it as of now; a writer goes on meanwhile. ``progress`` every so many pages: left, in all."""
        self._db.execute("BEGIN")  # else each commit of the writer would begin the copy anew
        try:
            self._db.backup(
                target, pages=pages, progress=lambda _, left, total: progress(left, total), sleep=0
            )
        finally:
            self._db.rollback()

    def __enter__(self) -> "JournalReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def parts(self, wanted: Filter) -> Iterator[dict[str, Any]]:
        """Oldest first; with ``last`` the newest so many."""
        where, arguments = wanted.where(self.classes)
        order = "ORDER BY run_id, ring_index"
        if wanted.last is not None:
            order = "ORDER BY run_id DESC, ring_index DESC LIMIT ?"
            arguments.append(wanted.last)
        columns = self._columns()
        sql = f"SELECT {', '.join(columns)} FROM parts WHERE {where} {order}"  # noqa: S608  (made of our own words; values are bound)
        if wanted.last is not None:
            sql = f"SELECT * FROM ({sql}) ORDER BY run_id, ring_index"  # noqa: S608
        throttling = self._throttling()
        for row in self._db.execute(sql, arguments):
            yield self._told(dict.fromkeys(COLUMNS) | dict(zip(columns, row, strict=True)), throttling)

    def _columns(self) -> tuple[str, ...]:
        """Those that we know; an older file lacks some."""
        there = set(tables.columns_of(self._db, "parts"))
        return tuple(name for name in COLUMNS if name in there)

    def _throttling(self) -> Timeline:
        kinds = (
            "SELECT wall_ns, kind, text FROM events WHERE kind IN ('throttled', 'unthrottled', 'telemetry')"
        )
        return timeline_of(self._db.execute(kinds))

    def _told(self, row: dict[str, Any], throttling: Timeline) -> dict[str, Any]:
        held = throttled(throttling, row)
        told: dict[str, Any] = {"run": row.pop("run_id"), "record": row.pop("ring_index")}
        told["time"] = iso(row.pop("wall_ns"))
        names = self.classes.get(told["run"], ())
        for column, value in row.items():
            if column in NAMES:
                told[column] = name_of(column, value)
            elif column in AFTER_TRIGGER:
                told[column.removesuffix("_ns") + "_ms"] = None if value is None else round(value / 1e6, 4)
            elif column in _CLASS_COLUMNS:
                told[column.removesuffix("_id")] = names[value] if value < len(names) else str(value)
            else:
                told[column] = value
        told["throttled"] = held
        return told

    def counts(self) -> dict[str, Any]:
        """Of everything that is kept: parts, verdicts, reasons, records that were lost."""
        final = "plc_result != 6"  # a part that had already been rejected is not counted twice
        verdicts = self._db.execute(
            f"SELECT final_verdict, count(*) FROM parts WHERE {final} GROUP BY 1"  # noqa: S608
        )
        reasons = self._db.execute(
            f"SELECT final_reason, count(*) FROM parts WHERE {final} AND final_verdict = 2 GROUP BY 1"  # noqa: S608
        )
        lost = self._db.execute("SELECT coalesce(sum(last_index - first_index + 1), 0) FROM gaps").fetchone()[
            0
        ]
        by_verdict = {name_of("final_verdict", key): count for key, count in verdicts}
        return {
            "parts": sum(by_verdict.values()),
            "verdicts": by_verdict,
            "reasons": {name_of("final_reason", key): count for key, count in reasons},
            "lost_records": int(lost),
        }

    def runs(self) -> list[dict[str, Any]]:
        """Every ring file that was read."""
        there = tables.columns_of(self._db, "runs")
        boot = "boot_id" if "boot_id" in there else "''"
        recipes = "recipes" if "recipes" in there else "NULL"
        rows = self._db.execute(
            f"SELECT id, started_wall_ns, line, next_index, config_sha256, version, {boot}, {recipes} FROM runs "  # noqa: S608
            "ORDER BY id"
        )
        keys = ("run", "started", "line", "records_seen", "config_sha256", "version", "boot_id", "recipes")
        return [
            dict(zip(keys, (row[0], iso(row[1]), *row[2:-1], row[-1] and json.loads(row[-1])), strict=True))
            for row in rows
        ]

    def gaps(self) -> list[dict[str, Any]]:
        """Records that were lost, by their place in the ring."""
        rows = self._db.execute("SELECT run_id, first_index, last_index, wall_ns FROM gaps ORDER BY 1, 2")
        return [
            {"run": run, "first": first, "last": last, "records": last - first + 1, "found": iso(wall)}
            for run, first, last, wall in rows
        ]

    def events(self) -> list[dict[str, Any]]:
        """Clock steps, restarts of the machine, changed configuration, disks that failed, journals that broke."""
        rows = self._db.execute("SELECT wall_ns, run_id, kind, text FROM events ORDER BY id")
        return [{"time": iso(wall), "run": run, "kind": kind, "text": text} for wall, run, kind, text in rows]

    def check(self) -> list[str]:
        """What is wrong with the file; empty: nothing."""
        found = [row[0] for row in self._db.execute("PRAGMA integrity_check(20)")]
        return [text for text in (self.short, *found) if text not in {"", "ok"}]


def _log_bytes(path: Path) -> int:
    """Of the write-ahead log beside a journal; 0: none. An empty one says nothing: a reader makes it."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except OSError:
        return 0


def _number(column: str, name: str | None) -> int | None:
    if name is None:
        return None
    known = {member.name.lower(): int(member) for member in NAMES[column]}
    if name.lower() not in known:
        raise RecordError(f"--{column.removeprefix('final_')} '{name}': expected one of {', '.join(known)}")
    return known[name.lower()]
