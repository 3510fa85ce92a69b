"""Camera kind ``recording``: a recorded run again, with its triggers, encoder counts and faults."""

import logging
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge._core import FrameStatus, PixelFormat, now_ns, sleep_until_ns
from edge.camera.base import CHANNELS, Camera, EndOfStream, Frame, Outcome, Target, Trigger
from edge.camera.replay import fill
from edge.camera.settings import RecordingSettings
from edge.errors import CameraError, RecordError
from edge.records.recorded import LOST, STORED, RecordedLine, RecordedPart, judged_by

log = logging.getLogger(__name__)

_TRIGGER, _FRAME = 0, 1


class RecordingCamera(Camera):
    """Shows what the line saw: a lost frame is a trigger without frame, a torn one is torn again.

    Parts whose frame the recorder missed are left out; the diff lists them.
    """

    decodes = True

    def __init__(self, settings: RecordingSettings) -> None:
        self._settings = settings
        self.lockstep = settings.pace == "fast"
        self._recorded = _load(settings)
        self._events: deque[tuple[int, int, RecordedPart]] = deque()
        self._recipes = {(number, earlier): here for number, earlier, here in settings.judged_by}
        self._ahead: tuple[int, NDArray[np.uint8] | None] = (0, None)
        self._start_ns = 0

    @staticmethod
    def check(settings: RecordingSettings) -> None:
        """Raises CameraError when there is no recording, or nothing in it."""
        _load(settings)

    def open(self, shown: int) -> None:
        """Goes on after the part ``shown``."""
        parts = [part for part in self._recorded.parts if part.replayable and part.part_id > shown]
        events = [(_trigger_ns(part), _TRIGGER, part) for part in parts]
        events += [(_frame_ns(part), _FRAME, part) for part in parts if part.frame.state != LOST]
        # In lockstep a frame that came after the next trigger would wait for itself.
        order = (lambda e: (e[2].part_id, e[1])) if self.lockstep else (lambda e: (e[0], e[1]))
        self._events = deque(sorted(events, key=order))
        self._start_ns = 0

    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """The next recorded trigger or frame; at recorded pace it waits until its time."""
        if not self._events:
            return EndOfStream()
        due_ns, what, part = self._events[0]
        # Decoded before the wait, so that a frame is on time.
        self._decode_ahead()
        if not self.lockstep and not self._is_due(due_ns, timeout_ms):
            return None
        self._events.popleft()
        stamp_ns = now_ns()
        if what == _TRIGGER:
            recipe = self._recipes.get(judged_by(part), 0)
            return Trigger(part.part_id, int(part.fields["encoder_count"]), stamp_ns, recipe)
        return self._frame(part, target(), stamp_ns)

    def _is_due(self, due_ns: int, timeout_ms: int) -> bool:
        if not self._start_ns:
            self._start_ns = now_ns() - due_ns
        limit_ns = now_ns() + timeout_ms * 1_000_000
        sleep_until_ns(min(due_ns + self._start_ns, limit_ns))
        return due_ns + self._start_ns <= limit_ns

    def _decode_ahead(self) -> None:
        part = next((part for _, what, part in self._events if what == _FRAME), None)
        if part is None or self._ahead[0] == part.part_id:
            return
        self._ahead = (part.part_id, None)
        if part.frame.state == STORED:
            try:
                self._ahead = (part.part_id, self._recorded.pixels(part))
            except RecordError as error:
                log.warning("%s; the part is rejected as frame_corrupt", error)

    def _frame(self, part: RecordedPart, pixels: NDArray[np.uint8], stamp_ns: int) -> Frame:
        recorded = part.frame
        pixel_format = PixelFormat(recorded.pixel_format)
        status = FrameStatus(recorded.status)
        picture = self._ahead[1]
        stride = recorded.width * CHANNELS[pixel_format]
        if picture is not None:
            filled = fill(pixels, picture, pixel_format)
            stride, status = filled.stride, status if filled.status is FrameStatus.OK else filled.status
        else:
            stride, status = 0, status if recorded.state != STORED else FrameStatus.CORRUPT
        return Frame(
            recorded.width,
            recorded.height,
            stride,
            pixel_format,
            status,
            recorded.frame_id,
            part.part_id,
            int(part.fields["encoder_count"]),
            stamp_ns,
        )


def _trigger_ns(part: RecordedPart) -> int:
    return int(part.fields["triggered_ns"])


def _frame_ns(part: RecordedPart) -> int:
    return max(int(part.fields["received_ns"]), _trigger_ns(part))


def _load(settings: RecordingSettings) -> RecordedLine:
    try:
        recorded = RecordedLine.load(settings.path)
    except RecordError as error:
        raise CameraError(str(error)) from error
    if not any(part.replayable for part in recorded.parts):
        raise CameraError(f"{settings.path}: the recording holds no part that can be shown")
    return recorded
