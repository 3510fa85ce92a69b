"""A back-end whose driver fills ring slots, by itself: its frames one by one, as other back-ends give them."""

import tempfile
from collections import deque
from dataclasses import replace
from pathlib import Path

from edge._core import FrameStatus, FrameView, Region
from edge.camera.base import CHANNELS, Belt, Camera, Delivered, EndOfStream, Frame, Outcome, Target
from edge.camera.settings import CameraSettings

_MEMORY = Path("/dev/shm")  # noqa: S108  (what the line's own regions lie in)
_SPEED_M_PER_S, _COUNTS_PER_MM = 1.0, 1.0
"""Nobody looks at the counts of a camera alone."""


class Alone(Camera):
    """A ring of its own, from which each frame is copied once: for commands that look at a camera without a line."""

    def __init__(self, camera: Camera, settings: CameraSettings) -> None:
        self._camera = camera
        self.free_running = camera.free_running
        self.own_stamps = camera.own_stamps
        with tempfile.TemporaryDirectory(
            dir=_MEMORY if _MEMORY.is_dir() else None
        ) as folder:  # only we map it
            self._region = Region.create(
                str(Path(folder) / "region"), frame_slots=settings.frame_slots, slot_bytes=settings.slot_bytes
            )
        belt = Belt(_SPEED_M_PER_S, _COUNTS_PER_MM, round(settings.frame_timeout_ms * 1e6))
        camera.join(self._region, belt)
        self._next_id = 1
        self._waiting: deque[FrameView] = deque()

    def open(self, shown: int) -> None:
        """As the camera does; what came before is forgotten."""
        self._waiting.clear()
        self._region.discard_frames()
        self._next_id = self._region.status.last_trigger_id + 1
        self._camera.open(shown)

    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """The next frame; those that were lost are skipped."""
        if not self._waiting:
            outcome = self._camera.grab(target, timeout_ms)
            if isinstance(outcome, EndOfStream):
                return outcome
            if isinstance(outcome, Delivered):
                self._fetch()
        return _given(self._waiting.popleft(), target) if self._waiting else None

    def close(self) -> None:
        """As the camera does; the ring stays for the next ``open``."""
        self._camera.close()

    def _fetch(self) -> None:
        for trigger_id in range(self._next_id, self._region.status.last_trigger_id + 1):
            frame = self._region.copy_frame(trigger_id)
            if frame is not None:
                self._waiting.append(frame)
                self._next_id = trigger_id + 1
        self._region.discard_frames()


def _given(view: FrameView, target: Target) -> Frame:
    """Copies a frame out of the ring into what the caller offers."""
    frame = Frame(
        view.width,
        view.height,
        view.stride,
        view.pixel_format,
        view.status,
        frame_id=view.frame_id,
        exposure_end_ns=view.exposure_end_ns,
        received_ns=view.received_ns,
    )
    if frame.status is not FrameStatus.OK:
        return frame
    pixels, size = target(), view.stride * view.height
    if size > pixels.size:
        return replace(frame, stride=view.width * CHANNELS[view.pixel_format], status=FrameStatus.OVERSIZE)
    pixels[:size] = view.pixels.reshape(-1)[:size]
    return frame
