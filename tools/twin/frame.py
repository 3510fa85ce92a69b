"""What every look shares: the camera, the frame with its truth, poses, the mosaic, light and sensor."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import TwinError
from tools.twin.parts import PartSpec
from tools.twin.surface import Plane, crop

Rgb = tuple[float, float, float]
Box = tuple[int, float, float, float, float]
CanvasBox = tuple[float, float, float, float]
"""x1, y1, x2, y2 in canvas pixels."""

_FULL_SCALE = 255.0


@dataclass(frozen=True)
class CameraModel:
    """The twin's camera: an area-scan colour sensor above the belt under a flash."""

    width: int = 640
    height: int = 480
    mm_per_pixel: float = 0.125
    pixel_format: str = "BayerRG8"
    read_noise: float = 1.2
    """Grey levels, at black."""
    shot_noise: float = 0.012
    """Added share of the signal."""
    exposure_us: float = 200.0
    """The belt moves on meanwhile: 0.24 mm at 1.2 m/s (the look ``plain`` does not know this)."""

    def check(self) -> None:
        """Raises TwinError for a sensor with odd sides (a mosaic has whole 2×2 cells) or another pixel format."""
        if self.pixel_format != "BayerRG8" or self.width % 2 or self.height % 2:
            raise TwinError(
                f"camera of {self.width}x{self.height} {self.pixel_format}: expected BayerRG8, even sides"
            )


@dataclass(frozen=True)
class Rendered:
    """A frame and its truth. Boxes are in frame pixels, clipped to the frame."""

    pixels: NDArray[np.uint8]
    """height × width, RGGB mosaic (GenICam BayerRG8, OpenCV's "BayerBG")."""
    boxes: list[Box] = field(default_factory=list)
    """(class_id, x1, y1, x2, y2) of every defect; the one that gives the part its class comes first."""
    part_box: tuple[float, float, float, float] | None = None
    """None: empty belt."""
    severities: list[float] = field(default_factory=list)
    """0..1, one per box."""
    mask: NDArray[np.uint8] | None = None
    """height × width class ids of the defects' pixels, 0 elsewhere; only where it was asked for."""


def pick(choices: tuple[Rgb, ...], rng: np.random.Generator) -> Rgb:
    """One of the tints."""
    return choices[int(rng.integers(len(choices)))]


def tint(plane: Plane, rgb: Rgb) -> None:
    """Turns luminance into a mosaic, in place; the plane starts on an even row and column."""
    height, width = plane.shape
    red, green, blue = rgb
    # Gains of one cell line: R G R G … / G B G B …; 1×2×width, to broadcast over row pairs.
    gains = np.array([[red, green] * (width // 2), [green, blue] * (width // 2)], np.float32)[None]
    cells = plane.reshape(height // 2, 2, width)
    cells *= gains


def pose(spec: PartSpec, camera: CameraModel, canvas: tuple[int, ...]) -> NDArray[np.float64]:
    """2×3 matrix, canvas pixels to frame pixels; ``canvas`` is (height, width)."""
    height, width = canvas
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), spec.rotation_deg, 1.0)
    matrix[0, 2] += (camera.width - width) / 2 + spec.offset_mm[0] / camera.mm_per_pixel
    matrix[1, 2] += (camera.height - height) / 2 + spec.offset_mm[1] / camera.mm_per_pixel
    return np.asarray(matrix, np.float64)


def corners(box: CanvasBox, to_frame: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest frame coordinates of a canvas box."""
    x1, y1, x2, y2 = box
    points = np.array([(x1, y1, 1), (x2, y1, 1), (x2, y2, 1), (x1, y2, 1)], np.float64) @ to_frame.T
    return points.min(0), points.max(0)


def outline_box(canvas: tuple[int, ...], margin: int) -> CanvasBox:
    """The part without the room around it."""
    height, width = canvas
    return (margin, margin, width - margin, height - margin)


def frame_box(
    box: CanvasBox, to_frame: NDArray[np.float64], camera: CameraModel
) -> tuple[float, float, float, float]:
    """The upright box around a canvas box, clipped to the frame."""
    low, high = corners(box, to_frame)
    limit = np.array([camera.width, camera.height])
    low, high = np.clip(low, 0, limit), np.clip(high, 0, limit)
    return (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def light_field(spec: PartSpec, camera: CameraModel, rng: np.random.Generator) -> Plane:
    """Gain over the picture: a gradient from one side, vignetting, and the exposure."""
    y, x = np.mgrid[-1:1:7j, -1:1:9j]
    turn = rng.uniform(0, 2 * np.pi)
    gradient = 1 + spec.light_gradient / 2 * (x * np.cos(turn) + y * np.sin(turn))
    vignette = 1 - 0.07 * (x * x + y * y)
    gain = _FULL_SCALE * 0.92 * 2.0**spec.exposure_ev
    small = (gain * gradient * vignette).astype(np.float32)
    return np.asarray(cv2.resize(small, (camera.width, camera.height), interpolation=cv2.INTER_LINEAR))


def expose(scene: Plane, spec: PartSpec, camera: CameraModel, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light, sensor noise, 8 bits; changes ``scene``."""
    scene *= light_field(spec, camera, rng)
    noise = crop("sensor", camera.height, camera.width, rng)
    grain = scene * np.float32(camera.shot_noise)
    grain += np.float32(camera.read_noise)
    grain *= noise
    scene += grain
    return np.asarray(cv2.convertScaleAbs(np.maximum(scene, 0, out=scene)), np.uint8)
