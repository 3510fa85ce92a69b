"""GenICam pixel formats, as every back-end that speaks GenICam names them, and how they become a frame."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge._core import FrameStatus, PixelFormat
from edge.camera.base import CHANNELS, Frame
from edge.camera.replay import fill
from edge.errors import CameraError


class GenicamFormat(NamedTuple):
    """Samples per pixel of 8 bits, what the frame is, and OpenCV's conversion where the order differs."""

    samples: int
    frame: PixelFormat
    convert: int | None = None


FORMATS = {
    "Mono8": GenicamFormat(1, PixelFormat.MONO8),
    "BayerRG8": GenicamFormat(1, PixelFormat.BAYER_RG8),
    "BGR8": GenicamFormat(3, PixelFormat.BGR8),
    "RGB8": GenicamFormat(3, PixelFormat.BGR8, cv2.COLOR_RGB2BGR),
    "BGRa8": GenicamFormat(4, PixelFormat.BGRA8),
    "RGBa8": GenicamFormat(4, PixelFormat.BGRA8, cv2.COLOR_RGBA2BGRA),
}


def known(name: str, where: str) -> GenicamFormat:
    """Raises CameraError for a format that the engines cannot be shown."""
    if name not in FORMATS:
        raise CameraError(
            f"{where}: pixel format {name} found, one of {', '.join(FORMATS)} expected; set camera.pixel_format"
        )
    return FORMATS[name]


def into_slot(
    pixels: NDArray[np.uint8], data: NDArray[np.uint8], width: int, height: int, form: GenicamFormat
) -> Frame:
    """Copies the camera's buffer (rows without gaps, perhaps with a tail) into the slot; too large or too short
    becomes a frame with that status."""
    needed = width * height * form.samples
    if data.size < needed:
        return Frame(width, height, width * CHANNELS[form.frame], form.frame, FrameStatus.INCOMPLETE)
    shape = (height, width) if form.samples == 1 else (height, width, form.samples)
    picture = data[:needed].reshape(shape)
    if form.convert is not None and needed <= pixels.size:
        picture = np.asarray(cv2.cvtColor(picture, form.convert))
    return fill(pixels, picture, form.frame)
