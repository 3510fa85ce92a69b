"""The one class behind which every frame source stands, and what it may report."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge._core import FrameStatus, PixelFormat
from edge.camera.labels import Labels

CHANNELS = {PixelFormat.MONO8: 1, PixelFormat.BAYER_RG8: 1, PixelFormat.BGR8: 3, PixelFormat.BGRA8: 4}
"""Bytes per pixel."""


@dataclass(frozen=True)
class Trigger:
    """The part sensor has fired; its frame follows. Only from cameras with a trigger input."""

    trigger_id: int
    encoder_count: int
    stamp_ns: int


@dataclass(frozen=True)
class Frame:
    """A frame now lies in the pixels that the camera asked for.

    ``stride`` is in bytes. Without a trigger input, ids, count and time are left to the runner.
    """

    width: int
    height: int
    stride: int
    pixel_format: PixelFormat
    status: FrameStatus = FrameStatus.OK
    frame_id: int | None = None
    trigger_id: int | None = None
    encoder_count: int | None = None
    exposure_end_ns: int | None = None

    @classmethod
    def without_pixels(cls, status: FrameStatus, pixel_format: PixelFormat) -> "Frame":
        """A part whose picture could not be had; the loop rejects it with the status as its reason."""
        return cls(0, 0, 0, pixel_format, status)


@dataclass(frozen=True)
class EndOfStream:
    """The camera has shown its last frame."""


Outcome = Trigger | Frame | EndOfStream | None
"""None: nothing came within the time-out."""

Target = Callable[[], NDArray[np.uint8]]
"""Gives the flat bytes that the beginning frame must fill. Call it once per frame, when the frame begins.

While the ring has no free slot these are bytes that nobody reads: the frame is dropped and counted."""


class Camera(ABC):
    """A frame source. A back-end overrides ``grab``, and ``open`` and ``close`` if it holds something.

    The runner owns slots, triggers, pace and reconnection; it calls ``open`` again after a CameraError.
    """

    pitch_mm: float | None = None
    """Set: the runner shows one frame per pitch at line speed. None: the source has its own pace."""
    lockstep = False
    """True: the next trigger waits until the loop has decided the last part."""
    decodes = False
    """True: grab computes for milliseconds, which must not happen at real-time priority."""

    def open(self, shown: int) -> None:  # noqa: B027  (a source may have nothing to open)
        """Gets ready to deliver; ``shown`` parts of this line have been seen before, go on after them.

        Raises CameraError when the source is not there.
        """

    @abstractmethod
    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """Waits for what comes next, at most ``timeout_ms``, and fills ``target()`` in place.

        Raises CameraError when the source has gone.
        """

    def close(self) -> None:  # noqa: B027
        """Gives up what ``open`` holds; may be called twice."""

    def labels(self) -> Labels | None:
        """Class names of the parts, where the source knows them."""
        return None


def frame_view(pixels: NDArray[np.uint8], width: int, height: int, channels: int) -> NDArray[np.uint8] | None:
    """The first bytes of ``pixels`` as height × width (× channels, if several); None: too few bytes."""
    size = width * height * channels
    if size > pixels.size:
        return None
    shape = (height, width) if channels == 1 else (height, width, channels)
    return pixels[:size].reshape(shape)


def oversize_text(what: str, frame: Frame, slot_bytes: int) -> str:
    """One sentence on a frame that is larger than a slot, with the setting that mends it."""
    channels = CHANNELS[frame.pixel_format]
    needed_mib = frame.width * frame.height * channels / (1024 * 1024)
    mend_mib = np.ceil(needed_mib * 10) / 10
    return (
        f"{what}: {frame.width}x{frame.height} with {channels} byte(s) per pixel needs {needed_mib:.2f} MiB, "
        f"a slot has {slot_bytes / (1024 * 1024):.2f}; rejected as frame_oversize. "
        f"Raise camera.max_frame_mib to {mend_mib:.1f}"
    )
