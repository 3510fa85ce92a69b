"""Which parts' pictures are kept, and why."""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from edge._core import FrameView, Reason, Route, Verdict
from edge.records.archive.settings import ArchiveSettings

REJECT, UNCERTAIN, SAMPLE, FAULT, NEAR_FAULT = WHY = ("reject", "uncertain", "sample", "fault", "near-fault")
OF_THE_PART = {
    Reason.NONE,
    Reason.DEFECT,
    Reason.UNCERTAIN,
    Reason.NO_TIME,
    Reason.UNDEREXPOSED,
    Reason.OVEREXPOSED,
    Reason.BLURRED,
}
"""Any other reason is a fault of the line."""

Kept = tuple[np.void, FrameView, tuple[str, ...]]


class Choice:
    """Takes the parts in their order; holds at most ``around_fault`` frames back."""

    def __init__(self, settings: ArchiveSettings) -> None:
        self._settings = settings
        self._before: deque[tuple[np.void, FrameView]] = deque(maxlen=settings.around_fault)
        self._after = 0
        self.missed = 0
        """Pictures that were wanted and had left the ring of frames."""

    def take(self, record: np.void, frame: Callable[[], FrameView | None]) -> Iterator[Kept]:
        """What is to be kept now that this part is known; ``frame`` copies it out of the ring."""
        why = self._why(record)
        fault = FAULT in why
        if not fault and self._after > 0:
            self._after -= 1
            why = (*why, NEAR_FAULT)
        if not why and not self._before.maxlen:
            return
        view = frame()
        if fault:
            yield from ((*held, (NEAR_FAULT,)) for held in self._before)
            self._before.clear()
            self._after = self._settings.around_fault
        if view is None:
            self.missed += bool(why) and record["final_reason"] != Reason.FRAME_LOST
        elif why:
            yield record, view, why
        else:
            self._before.append((record, view))

    def _why(self, record: np.void) -> tuple[str, ...]:
        settings, verdict = self._settings, record["final_verdict"]
        if verdict == Verdict.NO_PART:
            return ()
        rejected = verdict == Verdict.REJECT
        sampled = settings.passes_one_in and int(record["part_id"]) % settings.passes_one_in == 0
        wanted = {
            REJECT: settings.rejects and rejected,
            UNCERTAIN: settings.uncertain and record["route"] == Route.CLASSIFIER,
            SAMPLE: sampled and verdict == Verdict.PASS,
            FAULT: settings.around_fault and rejected and int(record["final_reason"]) not in OF_THE_PART,
        }
        return tuple(why for why, holds in wanted.items() if holds)
