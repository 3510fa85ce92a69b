"""From the ring of frames into the archive. Two threads: frames leave their ring before a disk is waited for."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from edge._core import FrameStatus, FrameView, RecordRing, Region, Verdict
from edge.errors import RecordError
from edge.records.archive.choice import Choice
from edge.records.archive.names import Picture
from edge.records.archive.settings import ArchiveSettings
from edge.records.archive.shelf import Shelf
from edge.records.journal.columns import name_of
from edge.records.recording import encode, queue_length

log = logging.getLogger("edge.report")

_LOOK_S = 0.01
_BATCH = 256
_RETRY_NS = 1_000_000_000
_FORGET_NS = 60_000_000_000
_TELL_NS = 60_000_000_000
_PIXELS_LESS = (FrameStatus.CORRUPT, FrameStatus.OVERSIZE)


class ArchiveSink:
    """A sink of the reporting process with a cursor of its own. It takes no lock that the line could wait for."""

    def __init__(
        self,
        region: Region,
        ring: RecordRing,
        settings: ArchiveSettings,
        folder: Path,
        *,
        classes: Sequence[str],
        note: Callable[[str, str], None],
    ) -> None:
        """Raises RecordError when the folder cannot be written. ``note`` takes events for the journal."""
        self._region = region
        self._reader = ring.reader_at(ring.head)  # frames of earlier parts have left their ring
        self._settings = settings
        self._classes = classes
        self._note = note
        self._shelf = Shelf(folder, settings)
        self._choice = Choice(settings)
        self._over = threading.Event()
        self._tokens, self._filled_ns = max(settings.max_per_s, 1.0), time.monotonic_ns()
        self._queue: queue.Queue[tuple[Picture, FrameView] | None] = queue.Queue(queue_length(region))
        self._full_until_ns = 0
        self._forget_due_ns = 0
        self._told_ns, self._told_count = 0, 0
        self.kept = 0
        self.skipped = 0
        """Wanted, and given up: more than ``max_per_s``, or a disk that is too slow or full."""
        self._threads = [
            threading.Thread(target=work, name=f"archive-{work.__name__.strip('_')}", daemon=True)
            for work in (self._pick, self._write)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def missed(self) -> int:
        """Wanted, and no longer in the ring of frames."""
        return self._choice.missed

    def add(self, _records: object) -> None:
        """It reads the ring itself, sooner than others need to."""

    def tick(self, now_ns: int) -> None:
        """Tells once a minute of what is not there."""
        lost = self.skipped + self.missed
        if lost != self._told_count and now_ns - self._told_ns >= _TELL_NS:
            self._told_count, self._told_ns = lost, now_ns
            text = (
                f"{self.skipped} pictures skipped and {self.missed} missed since the start; {self.kept} kept"
            )
            self._note("archive_gaps", text)
            log.warning("archive %s: %s", self._shelf.folder, text)

    def close(self) -> None:
        """Writes what waits, within ten seconds."""
        self._over.set()
        for thread in self._threads:
            thread.join(10)
        self._told_ns = -_TELL_NS
        self.tick(time.monotonic_ns())
        self._shelf.close()

    def _pick(self) -> None:
        while True:
            over = self._over.is_set()
            records = self._reader.read(_BATCH)
            offset_ns = time.time_ns() - time.monotonic_ns()
            for record in records:
                frame = partial(self._region.copy_frame, int(record["part_id"]))
                for kept, view, why in self._choice.take(record, frame):
                    self._offer(kept, view, why, offset_ns)
            if over:
                break
            if not len(records):
                self._over.wait(_LOOK_S)
        self._queue.put(None)

    def _offer(self, record: np.void, view: FrameView, why: tuple[str, ...], offset_ns: int) -> None:
        if view.status in _PIXELS_LESS:
            return
        now = time.monotonic_ns()
        rate = self._settings.max_per_s
        self._tokens = min(max(rate, 1.0), self._tokens + rate * (now - self._filled_ns) / 1e9)
        self._filled_ns = now
        if self._tokens < 1:
            self.skipped += 1
            return
        self._tokens -= 1
        try:
            self._queue.put_nowait((self._picture(record, why, offset_ns), view))
        except queue.Full:
            self.skipped += 1

    def _picture(self, record: np.void, why: tuple[str, ...], offset_ns: int) -> Picture:
        judged = record["verdict"] != Verdict.NONE
        class_id = int(record["class_id"])
        return Picture(
            wall_ns=int(record["triggered_ns"] or record["decided_ns"]) + offset_ns,
            part_id=int(record["part_id"]),
            verdict=name_of("final_verdict", int(record["final_verdict"])),
            reason=name_of("final_reason", int(record["final_reason"])),
            why=why,
            label=self._classes[class_id] if judged and class_id < len(self._classes) else "",
        )

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            now = time.monotonic_ns()
            if now >= self._forget_due_ns:
                self._forget_due_ns = now + _FORGET_NS
                self._shelf.forget_old()
            if now < self._full_until_ns:
                self.skipped += 1
                continue
            picture, view = item
            try:
                self._shelf.put(picture, encode(view))
            except (OSError, RecordError) as error:
                self.skipped += 1
                self._pause(getattr(error, "strerror", None) or str(error), now)
            else:
                self.kept += 1
                self._resume()

    def _pause(self, why: str, now_ns: int) -> None:
        if not self._full_until_ns:
            text = f"no picture can be kept in {self._shelf.folder}: {why}"
            self._note("archive_full", text)
            log.error("%s; tried again every second", text)
        self._full_until_ns = now_ns + _RETRY_NS

    def _resume(self) -> None:
        if self._full_until_ns:
            self._full_until_ns = 0
            self._note("archive_resumed", f"pictures are kept again in {self._shelf.folder}")
            log.warning("pictures are kept again in %s", self._shelf.folder)
