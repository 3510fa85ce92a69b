"""The one class behind which every frame source stands, and what it may report."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge._core import FrameStatus, PixelFormat, Region
from edge.camera.labels import Labels
from edge.errors import CameraError

CHANNELS = {PixelFormat.MONO8: 1, PixelFormat.BAYER_RG8: 1, PixelFormat.BGR8: 3, PixelFormat.BGRA8: 4}
"""Bytes per pixel."""


@dataclass(frozen=True)
class Trigger:
    """The part sensor has fired; its frame follows. Only from cameras with a trigger input."""

    trigger_id: int
    encoder_count: int
    stamp_ns: int
    recipe: int = 0
    """Number of the recipe that shall judge this part: of a recording that is shown again; 0: whichever is active."""


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
    received_ns: int | None = None
    """When it was whole, where the back-end knows better than who asks."""

    @classmethod
    def without_pixels(cls, status: FrameStatus, pixel_format: PixelFormat) -> "Frame":
        """A part whose picture could not be had; the loop rejects it with the status as its reason."""
        return cls(0, 0, 0, pixel_format, status)


@dataclass(frozen=True)
class Belt:
    """What a back-end that announces parts by itself must know of the belt."""

    speed_m_per_s: float
    counts_per_mm: float
    frame_timeout_ns: int


@dataclass(frozen=True)
class EndOfStream:
    """The camera has shown its last frame."""


@dataclass(frozen=True)
class Delivered:
    """Frames have gone into the ring by themselves since the last ``grab``; see ``Camera.join``."""


Outcome = Trigger | Frame | Delivered | EndOfStream | None
"""None: nothing came within the time-out."""

Target = Callable[[], NDArray[np.uint8]]
"""Gives the flat bytes that the beginning frame must fill. Call it once per frame, when the frame begins.

While the ring has no free slot these are bytes that nobody reads: the frame is dropped and counted."""


class Camera(ABC):
    """A frame source. A back-end overrides ``grab``, and ``open`` and ``close`` if it holds something.

    The runner owns slots, triggers, pace and reconnection; after a CameraError, or when frames stay away, it calls
    ``close`` and ``open`` again. These two run on another thread than ``grab``, never at the same time, and may take
    seconds; ``grab`` may not.
    """

    pitch_mm: float | None = None
    """Set: the runner shows one frame per pitch at line speed. None: the source has its own pace."""
    lockstep = False
    """True: the next trigger waits until the loop has decided the last part."""
    free_running = False
    """True: frames come without an end, so silence means that the camera is lost (camera.silence_limit_ms)."""
    decodes = False
    """True: grab computes for milliseconds, which must not happen at real-time priority."""

    fills_ring = False
    """True: frames go into the ring that ``join`` gave by themselves, and ``grab`` only tells of them."""
    own_stamps = False
    """True: exposure_end_ns is the device's word, not the time at which the host received the frame."""

    def join(self, region: Region, belt: Belt) -> None:  # noqa: B027  (most leave the ring to the runner)
        """Before the first ``open``: for a back-end whose driver fills ring slots and pushes triggers by itself."""

    def open(self, shown: int) -> None:  # noqa: B027  (a source may have nothing to open)
        """Gets ready to deliver; ``shown`` is the last part that this line has been told of: go on after it.

        Raises CameraError when the source is not there.
        """

    @abstractmethod
    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """Waits for what comes next, at most ``timeout_ms``, and fills ``target()`` in place.

        Raises CameraError when the source has gone.
        """

    def close(self) -> None:  # noqa: B027
        """Gives up what ``open`` holds; may be called twice."""

    def set_exposure_us(self, value: float) -> None:
        """From the next exposure on, also after it was opened again. From any thread; may take as long as the device.

        Raises CameraError where it cannot be changed now.
        """
        raise CameraError("this kind of camera takes no exposure time while it runs")

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
