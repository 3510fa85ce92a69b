"""The look ``plain``: even light, one defect at most, no blur."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.twin.blank import blank
from tools.twin.defects import DRAW, Canvas
from tools.twin.frame import (
    Box,
    CameraModel,
    CanvasBox,
    Rendered,
    Rgb,
    corners,
    expose,
    frame_box,
    outline_box,
    pick,
    pose,
    tint,
)
from tools.twin.marks import DRAW_MARKS
from tools.twin.parts import NO_PART, PartSpec
from tools.twin.surface import Plane, bank, crop
from tools.twin.unseen import DRAW_UNSEEN

_FINISH_TINTS: dict[str, tuple[Rgb, ...]] = {
    "brushed": ((0.60, 0.60, 0.61), (0.57, 0.57, 0.58)),
    "milled": ((0.58, 0.58, 0.59), (0.61, 0.60, 0.59)),
    "cast": ((0.50, 0.50, 0.50), (0.46, 0.46, 0.47)),
    "anodised": ((0.52, 0.53, 0.56), (0.46, 0.47, 0.53), (0.57, 0.53, 0.45)),
}
"""Mean reflectance (R, G, B); natural, bluish and champagne oxide."""
_BELT_TINTS: tuple[Rgb, ...] = ((0.135, 0.15, 0.14), (0.12, 0.13, 0.15))
_CHAMFER_SHADE = 0.42
_DRAW = DRAW | DRAW_UNSEEN | DRAW_MARKS


def render_plain(spec: PartSpec, camera: CameraModel) -> Rendered:
    """Draws one frame; about 1 MB of work planes."""
    rng = np.random.default_rng(spec.render_seed)
    scene = _belt(camera, rng)
    boxes: list[Box] = []
    part_box = None
    if spec.class_id != NO_PART:
        canvas, box = _draw_part(spec, camera, rng)
        to_frame = pose(spec, camera, canvas.blank.alpha.shape)
        _lay_on(scene, canvas, to_frame, pick(_FINISH_TINTS[spec.finish], rng))
        part_box = frame_box(outline_box(canvas.blank.alpha.shape, canvas.blank.margin), to_frame, camera)
        if box is not None:
            boxes.append((spec.class_id, *frame_box(box, to_frame, camera)))
    severities = [spec.severity] * len(boxes)
    return Rendered(expose(scene, spec, camera, rng), boxes, part_box, severities)


def _belt(camera: CameraModel, rng: np.random.Generator) -> Plane:
    scene = np.add(crop("belt", camera.height, camera.width, rng), 1.0, dtype=np.float32)
    scene = np.ascontiguousarray(scene)
    tint(scene, pick(_BELT_TINTS, rng))
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
    draw = _DRAW.get(spec.class_id)
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


def _lay_on(scene: Plane, canvas: Canvas, to_frame: NDArray[np.float64], metal: Rgb) -> None:
    """Rotates and moves the canvas into the frame: shadow, then the part over it, then the stain's filter."""
    height, width = canvas.alpha.shape
    low, high = corners((0, 0, width, height), to_frame)
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
    tint(over, metal)
    if canvas.stain is not None:
        filtered = warp(canvas.stain)
        absorbed = tuple(1 - share for share in canvas.stain_rgb)
        tint(filtered, (absorbed[0], absorbed[1], absorbed[2]))
        over *= 1 - filtered
    under *= 1 - alpha
    under += over


def warm_up_plain(camera: CameraModel) -> None:
    """Makes the banks."""
    blank(camera.mm_per_pixel)
    for name in ("brushed", "milled", "cast", "anodised"):
        bank(name)
