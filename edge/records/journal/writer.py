"""From the ring into the journal: what cannot be written now waits in the ring, and what the ring drops is a gap."""

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from edge._core import JournalState, LineStatus, RecordRing
from edge.errors import JournalDiskError, RecordError
from edge.records.journal.columns import rows
from edge.records.journal.moment import CLOCK_STEP_NS
from edge.records.journal.settings import JournalSettings
from edge.records.journal.store import Journal, RunFacts
from edge.service.doctor.host import clock_is_set

log = logging.getLogger("edge.report")

COMMIT_NS = 500_000_000
BATCH = 1024
"""Records of one transaction; a full batch is written at once."""
RETRY_NS = 1_000_000_000
FORGET_NS = 60_000_000_000


class JournalWriter:
    """A sink of the reporting process with a cursor of its own. ``tick`` never raises for a disk."""

    def __init__(
        self,
        ring: RecordRing,
        settings: JournalSettings,
        path: Path,
        facts: RunFacts,
        *,
        clock_is_set: Callable[[], bool] = clock_is_set,
    ) -> None:
        """Raises RecordError when the journal cannot be opened at all; one whose disk fails is tried again."""
        self._clock_is_set = clock_is_set
        self._ring = ring
        self._settings = settings
        self._path = path
        self._facts = facts
        self._journal: Journal | None = None
        self._run_id, self._next = 0, 0
        self._reader = ring.reader_at(0)
        self._due_ns = 0
        self._forget_due_ns = 0
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._paused = ""
        self._paused_ns, self._lost_before = 0, 0
        self._lost = 0
        self._told_drop = False
        self._notes: deque[tuple[str, str, int]] = deque(maxlen=256)
        self.kept = 0
        """Parts since the start."""
        try:
            self._open()
        except (sqlite3.Error, JournalDiskError) as error:
            self._pause(str(error), time.monotonic_ns())

    def _open(self) -> Journal:
        """The journal at its place: the one that is open, or a new one where that was moved or removed."""
        moved = self._journal is not None and not self._journal.in_place
        if self._journal is not None and not moved:
            return self._journal
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        journal = Journal(self._path)
        try:
            run = journal.run(self._ring.identity, self._facts, self._next)
            if moved:
                self.note(
                    "moved",
                    f"the journal before was moved or removed while it was written; this one begins at "
                    f"record {run.next_index}",
                )
        except BaseException:
            journal.close()
            raise
        self._journal = journal
        self._run_id, self._next = run.id, run.next_index
        self._lost = max(self._lost, run.lost)
        self._reader = self._ring.reader_at(self._next)
        return journal

    @property
    def paused(self) -> bool:
        """Whether nothing can be written now."""
        return bool(self._paused)

    @property
    def waiting(self) -> int:
        """Records that the ring holds and the journal does not yet."""
        return min(self._ring.head - self._next, self._ring.capacity)

    @property
    def lost(self) -> int:
        """Records that this ring had overwritten, or has by now, before they could be kept."""
        return self._lost + max(0, self._ring.head - self._next - self._ring.capacity)

    def publish(self, status: LineStatus) -> None:
        """How it stands, for everybody who looks at the line."""
        status.journal_waiting, status.journal_lost = self.waiting, self.lost
        status.journal_state = JournalState.PAUSED if self.paused else JournalState.WRITTEN

    def add(self, _records: object) -> None:
        """It reads the ring itself, from where the journal ends: a disk that pauses costs nobody else anything."""

    def note(self, kind: str, text: str, at_ns: int | None = None) -> None:
        """An event of somebody else's, written with the next parts; ``at_ns``: monotonic, None: now."""
        ago_ns = 0 if at_ns is None else time.monotonic_ns() - at_ns
        self._notes.append((kind, text, time.time_ns() - ago_ns))

    def tick(self, now_ns: int) -> None:
        """Writes what is due."""
        if now_ns < self._due_ns and self.waiting < BATCH:
            return
        if self._paused and now_ns < self._due_ns:
            return
        self._due_ns = now_ns + COMMIT_NS
        try:
            journal = self._open()
            self._note_clock_steps(journal)
            self._write_notes(journal)
            while self._write_batch(journal) == BATCH:
                pass
            if now_ns >= self._forget_due_ns:
                self._forget_due_ns = now_ns + FORGET_NS
                # By age only while something disciplines the clock: a wrong one would call everything old.
                days = self._settings.keep_days if self._clock_is_set() else None
                journal.forget(days, self._settings.max_mib)
        except (sqlite3.Error, OSError, RecordError) as error:
            self._pause(str(error), now_ns)
            return
        if self._paused:
            self._resume(now_ns)

    def close(self) -> None:
        """Writes what there is; ``paused`` afterwards: it could not."""
        for _ in range(2):  # the second writes what the first has to tell
            self._due_ns = 0
            self.tick(time.monotonic_ns())
        if self._paused:
            most = "up to " if self._journal is None else ""  # what it holds cannot be looked at then
            log.error("the journal %s ends without %s%d records of the ring", self._path, most, self.waiting)
        if self._journal is not None:
            self._journal.close()

    def _write_batch(self, journal: Journal) -> int:
        records, indices = self._reader.read_indexed(BATCH)
        after = self._reader.cursor
        if after == self._next:
            return 0
        found = rows(records, indices, self._run_id, self._offset_ns)
        gaps = _gaps(self._next, indices, after)
        with journal.writing():
            journal.add_parts(found)
            for first, last in gaps:
                journal.add_gap(self._run_id, first, last)
            journal.advance(self._run_id, after)
        self._next = after
        self.kept += len(found)
        self._lost += sum(last - first + 1 for first, last in gaps)
        return len(found)

    def _write_notes(self, journal: Journal) -> None:
        while self._notes:
            with journal.writing():
                kind, text, wall_ns = self._notes[0]
                journal.event(kind, text, self._run_id, wall_ns)
            self._notes.popleft()

    def _pause(self, why: str, now_ns: int) -> None:
        """The reader goes back to the last record that is safe; the ring keeps the rest as long as it can."""
        self._reader = self._ring.reader_at(self._next)
        self._due_ns = now_ns + RETRY_NS
        if not self._paused:
            self._paused_ns = time.monotonic_ns()
            self._lost_before = self._lost
        if why != self._paused:
            self._paused = why
            log.error(
                "the journal %s cannot be written: %s; records wait in the ring (%d of %d)",
                self._path,
                why,
                self.waiting,
                self._ring.capacity,
            )
        if self.lost > self._lost and not self._told_drop:
            self._told_drop = True
            log.error("the ring is full: the oldest records are lost until %s can be written", self._path)

    def _resume(self, now_ns: int) -> None:
        seconds = (time.monotonic_ns() - self._paused_ns) / 1e9
        lost = self._lost - self._lost_before
        text = f"nothing could be written for {seconds:.1f} s: {self._paused}; {lost} records lost meanwhile"
        self._paused, self._told_drop = "", False
        log.warning("the journal %s is written again: %s", self._path, text)
        self.note("journal_paused", text)
        self._due_ns = now_ns

    def _note_clock_steps(self, journal: Journal) -> None:
        offset_ns = time.time_ns() - time.monotonic_ns()
        step_ns = offset_ns - self._offset_ns
        if abs(step_ns) >= CLOCK_STEP_NS:
            with journal.writing():
                text = (
                    f"the wall clock stepped by {step_ns / 1e9:+.3f} s; times from here on are by the new one"
                )
                journal.event("clock_step", text, self._run_id)
        self._offset_ns = offset_ns


def _gaps(expected: int, indices: list[int], after: int) -> list[tuple[int, int]]:
    """(first, last) of the indices from ``expected`` up to ``after`` that are not there."""
    found = []
    for index in (*indices, after):
        if index > expected:
            found.append((expected, index - 1))
        expected = index + 1
    return found
