"""Camera kind ``replay``: pictures from disk at line speed."""

import logging

import numpy as np
from numpy.typing import NDArray

from edge._core import FrameStatus, PixelFormat
from edge.camera.base import CHANNELS, Camera, EndOfStream, Frame, Outcome, Target, frame_view, oversize_text
from edge.camera.labels import Labels
from edge.camera.pictures import decode, find_pictures
from edge.camera.settings import ReplaySettings
from edge.errors import CameraError

log = logging.getLogger(__name__)

FORMATS = {"mono8": PixelFormat.MONO8, "bgr8": PixelFormat.BGR8}


class ReplayCamera(Camera):
    """Shows every picture once, or for ever; one that cannot be shown is a part without pixels."""

    decodes = True

    def __init__(self, settings: ReplaySettings) -> None:
        self.pitch_mm = settings.pitch_mm
        self._settings = settings
        self._format = FORMATS[settings.pixel_format]
        self._pictures = find_pictures(settings)
        self._index = 0

    @staticmethod
    def check(settings: ReplaySettings) -> None:
        """Raises CameraError when there is nothing to show."""
        find_pictures(settings)

    def open(self, shown: int) -> None:
        """Goes on after the parts that were shown before."""
        self._index = shown

    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """Decodes the next picture; never waits."""
        if self._index >= self._end():
            return EndOfStream()
        picture = self._pictures[self._index % len(self._pictures)]
        self._index += 1
        pixels = target()
        try:
            decoded = decode(picture.path, grey=self._format is PixelFormat.MONO8)
        except CameraError as error:
            log.warning("%s; part %d is rejected as frame_corrupt", error, self._index)
            return Frame.without_pixels(FrameStatus.CORRUPT, self._format)
        frame = fill(pixels, decoded, self._format)
        if frame.status is FrameStatus.OVERSIZE:
            log.warning("%s", oversize_text(str(picture.path), frame, pixels.size))
        return frame

    def labels(self) -> Labels | None:
        """The classes of the pictures, where a folder or the manifest names them."""
        names = tuple(picture.label for picture in self._pictures)
        return Labels(names, repeats=self._settings.loop) if any(names) else None

    def _end(self) -> float:
        if self._settings.loop:
            return self._settings.limit or float("inf")
        return len(self._pictures)


def fill(pixels: NDArray[np.uint8], picture: NDArray[np.uint8], pixel_format: PixelFormat) -> Frame:
    """Copies a picture into a slot; one that is too large becomes a frame without pixels."""
    height, width = picture.shape[:2]
    channels = CHANNELS[pixel_format]
    view = frame_view(pixels, width, height, channels)
    if view is None:
        return Frame(width, height, 0, pixel_format, FrameStatus.OVERSIZE)
    np.copyto(view, picture)
    return Frame(width, height, width * channels, pixel_format)
