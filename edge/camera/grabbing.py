"""A camera by itself, without a line: for the commands that look at one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge._core import FrameStatus, PixelFormat, now_ns
from edge.camera.alone import Alone
from edge.camera.base import CHANNELS, Camera, EndOfStream, Frame
from edge.camera.kinds import make_camera
from edge.camera.settings import CameraSettings
from edge.errors import CameraError

GRAB_MS = 50


@dataclass(frozen=True)
class Grabbed:
    """One frame; ``pixels`` height × width (× channels), None when its status is not OK. Time: CLOCK_MONOTONIC ns."""

    frame: Frame
    pixels: NDArray[np.uint8] | None
    received_ns: int


def alone(camera: Camera, settings: CameraSettings) -> Camera:
    """The camera, one that gives its frames by ``grab`` whatever it does on a line."""
    return Alone(camera, settings) if camera.fills_ring else camera


@contextmanager
def opened(settings: CameraSettings) -> Iterator[Camera]:
    """The camera of a line file, open. Raises CameraError."""
    camera = alone(make_camera(settings), settings)
    try:
        camera.open(0)
        yield camera
    finally:
        camera.close()


def grabbed(camera: Camera, settings: CameraSettings, count: int, patience_s: float) -> Iterator[Grabbed]:
    """``count`` frames, fewer where the source ends. Raises CameraError when none comes within the patience."""
    slot = np.empty(settings.slot_bytes, np.uint8)
    limit_s = time.monotonic() + patience_s
    while count > 0:
        outcome = camera.grab(lambda: slot, GRAB_MS)
        received_ns = now_ns()
        if isinstance(outcome, Frame) and outcome.received_ns is not None:
            received_ns = outcome.received_ns
        if isinstance(outcome, EndOfStream):
            return
        if isinstance(outcome, Frame):
            count -= 1
            limit_s = time.monotonic() + patience_s
            yield Grabbed(outcome, _picture(outcome, slot), received_ns)
        elif time.monotonic() > limit_s:
            raise CameraError(
                f"no frame within {patience_s:g} s; a camera with a hardware trigger shows one when a part passes: "
                "set camera.trigger to free to look at it without parts"
            )


def _picture(frame: Frame, slot: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    if frame.status is not FrameStatus.OK:
        return None
    channels = CHANNELS[frame.pixel_format]
    rows: NDArray[np.uint8] = slot[: frame.stride * frame.height].reshape(frame.height, frame.stride)
    picture: NDArray[np.uint8] = rows[:, : frame.width * channels].copy()
    return picture if channels == 1 else picture.reshape(frame.height, frame.width, channels)


def for_people(picture: NDArray[np.uint8], pixel_format: PixelFormat) -> NDArray[np.uint8]:
    """A mosaic in colour; the rest as it is."""
    if pixel_format is PixelFormat.BAYER_RG8:
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BayerRGGB2BGR))
    return picture


def sharpness(grey: NDArray[np.uint8]) -> float:
    """Energy of the Laplacian over the variance, as ``exposure.min_sharpness`` means it, here of the full frame."""
    values = grey.astype(np.float32)
    variance = float(values.var())
    return float((cv2.Laplacian(values, cv2.CV_32F) ** 2).mean()) / variance if variance > 0 else 0.0
