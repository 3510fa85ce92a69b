"""A part on the belt as the camera delivers it: a BayerRG8 mosaic, with the truth beside it."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import TwinError
from tools.twin.blank import Blank, blank
from tools.twin.defects import DRAW, Canvas, CanvasBox
from tools.twin.parts import NO_PART, PartSpec
from tools.twin.surface import Plane, bank, crop

Rgb = tuple[float, float, float]
Box = tuple[int, float, float, float, float]


@dataclass(frozen=True)
class CameraModel:
    """The twin's camera: an area-scan colour sensor above the belt, flashed, so without motion blur."""

    width: int = 640
    height: int = 480
    mm_per_pixel: float = 0.125
    pixel_format: str = "BayerRG8"
    read_noise: float = 1.2
    """Grey levels, at black."""
    shot_noise: float = 0.012
    """Added share of the signal."""


@dataclass(frozen=True)
class Rendered:
    """A frame and its truth. Boxes are in frame pixels, clipped to the frame."""

    pixels: NDArray[np.uint8]
    """height × width, RGGB mosaic (GenICam BayerRG8, OpenCV's "BayerBG")."""
    boxes: list[Box] = field(default_factory=list)
    """(class_id, x1, y1, x2, y2) of every defect."""
    part_box: tuple[float, float, float, float] | None = None
    """None: empty belt."""


_FINISH_TINTS: dict[str, tuple[Rgb, ...]] = {
    "brushed": ((0.60, 0.60, 0.61), (0.57, 0.57, 0.58)),
    "milled": ((0.58, 0.58, 0.59), (0.61, 0.60, 0.59)),
    "cast": ((0.50, 0.50, 0.50), (0.46, 0.46, 0.47)),
    "anodised": ((0.52, 0.53, 0.56), (0.46, 0.47, 0.53), (0.57, 0.53, 0.45)),
}
"""Mean reflectance (R, G, B); natural, bluish and champagne oxide."""
_BELT_TINTS: tuple[Rgb, ...] = ((0.135, 0.15, 0.14), (0.12, 0.13, 0.15))
_FULL_SCALE = 255.0
_CHAMFER_SHADE = 0.42


def render(spec: PartSpec, camera: CameraModel) -> Rendered:
    """Draws one frame. A pure function of spec and camera; about 1 MB of work planes.

    Raises TwinError for a sensor with odd sides (a mosaic has whole 2×2 cells) or another pixel format.
    """
    if camera.pixel_format != "BayerRG8" or camera.width % 2 or camera.height % 2:
        raise TwinError(
            f"camera of {camera.width}x{camera.height} {camera.pixel_format}: expected BayerRG8, even sides"
        )
    rng = np.random.default_rng(spec.render_seed)
    scene = _belt(camera, rng)
    boxes: list[Box] = []
    part_box = None
    if spec.class_id != NO_PART:
        canvas, box = _draw_part(spec, camera, rng)
        to_frame = _pose(spec, camera, canvas.blank)
        _lay_on(scene, canvas, to_frame, _pick(_FINISH_TINTS[spec.finish], rng))
        part_box = _frame_box(_outline_box(canvas.blank), to_frame, camera)
        if box is not None:
            boxes.append((spec.class_id, *_frame_box(box, to_frame, camera)))
    return Rendered(_expose(scene, spec, camera, rng), boxes, part_box)


def _pick(choices: tuple[Rgb, ...], rng: np.random.Generator) -> Rgb:
    return choices[int(rng.integers(len(choices)))]


def _mosaic_gains(rgb: Rgb, width: int) -> Plane:
    """Gains of one 2-row cell line: R G R G … / G B G B …; 1×2×width, to broadcast over row pairs."""
    red, green, blue = rgb
    return np.array([[red, green] * (width // 2), [green, blue] * (width // 2)], np.float32)[None]


def _tint(plane: Plane, rgb: Rgb) -> None:
    """Turns luminance into a mosaic, in place; the plane starts on an even row and column."""
    height, width = plane.shape
    cells = plane.reshape(height // 2, 2, width)
    cells *= _mosaic_gains(rgb, width)


def _belt(camera: CameraModel, rng: np.random.Generator) -> Plane:
    scene = np.add(crop("belt", camera.height, camera.width, rng), 1.0, dtype=np.float32)
    scene = np.ascontiguousarray(scene)
    _tint(scene, _pick(_BELT_TINTS, rng))
    return scene


def _draw_part(
    spec: PartSpec, camera: CameraModel, rng: np.random.Generator
) -> tuple[Canvas, CanvasBox | None]:
    shape = blank(camera.mm_per_pixel)
    azimuth = np.deg2rad(spec.light_azimuth_deg)
    light = (float(np.cos(azimuth)), float(np.sin(azimuth)))
    luma = np.ascontiguousarray(crop(spec.finish, shape.alpha.shape[0], shape.alpha.shape[1], rng))
    luma = luma * np.float32(rng.uniform(0.8, 1.25)) + np.float32(1)
    luma += shape.slope_x * np.float32(_CHAMFER_SHADE * light[0])
    luma += shape.slope_y * np.float32(_CHAMFER_SHADE * light[1])
    canvas = Canvas(shape, light, luma, shape.alpha.copy())
    _handle(canvas, rng)
    draw = DRAW.get(spec.class_id)
    # A stream of its own: the same seed without the defect gives the same picture around it.
    own = np.random.default_rng([spec.render_seed, spec.class_id])
    return canvas, draw(canvas, own, spec.severity) if draw else None


def _handle(canvas: Canvas, rng: np.random.Generator) -> None:
    """What every part brings along and what is no defect: dust and faint hairline scratches."""
    height, width = canvas.luma.shape
    for _ in range(int(rng.integers(0, 7))):
        x, y = int(rng.integers(4, width - 4)), int(rng.integers(4, height - 4))
        canvas.luma[y : y + int(rng.integers(1, 3)), x : x + int(rng.integers(1, 3))] *= np.float32(
            rng.uniform(0.65, 1.2)
        )
    for _ in range(int(rng.integers(0, 3))):
        x, y, angle = rng.uniform(40, width - 40), rng.uniform(40, height - 40), rng.normal(0, 0.3)
        half = canvas.px(rng.uniform(2, 8)) / 2
        dx, dy = half * np.cos(angle), half * np.sin(angle)
        ends = [(round(16 * (x - dx)), round(16 * (y - dy))), (round(16 * (x + dx)), round(16 * (y + dy)))]
        cv2.line(canvas.luma, ends[0], ends[1], float(rng.uniform(1.05, 1.15)), 1, cv2.LINE_8, 4)


def _pose(spec: PartSpec, camera: CameraModel, shape: Blank) -> NDArray[np.float64]:
    """2×3 matrix, canvas pixels to frame pixels."""
    height, width = shape.alpha.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), spec.rotation_deg, 1.0)
    matrix[0, 2] += (camera.width - width) / 2 + spec.offset_mm[0] / camera.mm_per_pixel
    matrix[1, 2] += (camera.height - height) / 2 + spec.offset_mm[1] / camera.mm_per_pixel
    return np.asarray(matrix, np.float64)


def _corners(
    box: CanvasBox, to_frame: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest frame coordinates of a canvas box."""
    x1, y1, x2, y2 = box
    points = np.array([(x1, y1, 1), (x2, y1, 1), (x2, y2, 1), (x1, y2, 1)], np.float64) @ to_frame.T
    return points.min(0), points.max(0)


def _outline_box(shape: Blank) -> CanvasBox:
    height, width = shape.alpha.shape
    return (shape.margin, shape.margin, width - shape.margin, height - shape.margin)


def _frame_box(
    box: CanvasBox, to_frame: NDArray[np.float64], camera: CameraModel
) -> tuple[float, float, float, float]:
    low, high = _corners(box, to_frame)
    limit = np.array([camera.width, camera.height])
    low, high = np.clip(low, 0, limit), np.clip(high, 0, limit)
    return (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def _lay_on(scene: Plane, canvas: Canvas, to_frame: NDArray[np.float64], tint: Rgb) -> None:
    """Rotates and moves the canvas into the frame: shadow, then the part over it, then the stain's filter."""
    height, width = canvas.alpha.shape
    low, high = _corners((0, 0, width, height), to_frame)
    # Even corners keep the mosaic's phase.
    left, top = (max(0, int(v)) // 2 * 2 for v in low)
    right = min(scene.shape[1], int(high[0]) // 2 * 2 + 2)
    bottom = min(scene.shape[0], int(high[1]) // 2 * 2 + 2)
    matrix = to_frame.copy()
    matrix[:, 2] -= (left, top)

    def warp(plane: Plane) -> Plane:
        return np.asarray(cv2.warpAffine(plane, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR))

    under = scene[top:bottom, left:right]
    under *= 1 - 0.55 * warp(canvas.blank.shadow)
    over, alpha = warp(canvas.luma * canvas.alpha), warp(canvas.alpha)
    _tint(over, tint)
    if canvas.stain is not None:
        filtered = warp(canvas.stain)
        absorbed = tuple(1 - share for share in canvas.stain_rgb)
        _tint(filtered, (absorbed[0], absorbed[1], absorbed[2]))
        over *= 1 - filtered
    under *= 1 - alpha
    under += over


def _light_field(spec: PartSpec, camera: CameraModel, rng: np.random.Generator) -> Plane:
    """Gain over the picture: a gradient from one side, vignetting, and the exposure."""
    y, x = np.mgrid[-1:1:7j, -1:1:9j]
    turn = rng.uniform(0, 2 * np.pi)
    gradient = 1 + spec.light_gradient / 2 * (x * np.cos(turn) + y * np.sin(turn))
    vignette = 1 - 0.07 * (x * x + y * y)
    gain = _FULL_SCALE * 0.92 * 2.0**spec.exposure_ev
    small = (gain * gradient * vignette).astype(np.float32)
    return np.asarray(cv2.resize(small, (camera.width, camera.height), interpolation=cv2.INTER_LINEAR))


def _expose(scene: Plane, spec: PartSpec, camera: CameraModel, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light, lens, sensor noise, 8 bits."""
    scene *= _light_field(spec, camera, rng)
    noise = crop("sensor", camera.height, camera.width, rng)
    grain = scene * np.float32(camera.shot_noise)
    grain += np.float32(camera.read_noise)
    grain *= noise
    scene += grain
    return np.asarray(cv2.convertScaleAbs(np.maximum(scene, 0, out=scene)), np.uint8)


def warm_up(camera: CameraModel) -> None:
    """Makes the banks now (about a second), so that the first part is not late."""
    blank(camera.mm_per_pixel)
    for name in ("brushed", "milled", "cast", "anodised", "belt", "sensor"):
        bank(name)
