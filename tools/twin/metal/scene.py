"""The look ``metal``: shades the part, draws defects and dirt, lays it on the belt, and takes the picture."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.twin.frame import (
    CameraModel,
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
from tools.twin.metal.blank import VARIANTS, Blank, blank
from tools.twin.metal.canvas import Canvas
from tools.twin.metal.defects import DRAW
from tools.twin.metal.handling import handle
from tools.twin.parts import FINISHES, NO_PART, PartSpec
from tools.twin.surface import Plane, bank, crop

_TINTS: dict[str, tuple[Rgb, ...]] = {
    "brushed": ((0.60, 0.60, 0.61), (0.57, 0.57, 0.58)),
    "milled": ((0.58, 0.58, 0.59), (0.61, 0.60, 0.59)),
    "cast": ((0.49, 0.49, 0.49), (0.45, 0.45, 0.46)),
    "anodised": ((0.52, 0.53, 0.56), (0.44, 0.46, 0.53), (0.57, 0.53, 0.44)),
}
"""Mean reflectance (R, G, B); natural, bluish and champagne oxide."""
_BELT_TINTS: tuple[Rgb, ...] = ((0.135, 0.15, 0.14), (0.12, 0.13, 0.15))
_DIFFUSE = 0.40
_GLINT, _GLINT_FROM = 0.6, 0.3
"""A slope that looks at the lamp by more than this mirrors it."""
_GLOSS: dict[str, tuple[float, float]] = {
    "brushed": (0.26, 0.45),
    "milled": (0.18, 0.6),
    "cast": (0.06, 1.2),
    "anodised": (0.10, 1.0),
}
"""How strong the lamp's reflex on the face is, and how wide (1: half the picture)."""
_LENS_MM = 0.05


def render_metal(spec: PartSpec, camera: CameraModel, *, with_mask: bool = False) -> Rendered:
    """Draws one frame; ``with_mask`` adds the class id of every defective pixel."""
    rng = np.random.default_rng(spec.render_seed)
    belt = np.add(crop("belt", camera.height, camera.width, rng), 1.0, dtype=np.float32)
    belt_tint = pick(_BELT_TINTS, rng)
    if spec.class_id == NO_PART:
        scene = _blurred(belt, spec, camera)
        tint(scene, belt_tint)
        return Rendered(expose(scene, spec, camera, rng))
    canvas = _draw_part(spec, camera, rng)
    to_frame = pose(spec, camera, canvas.alpha.shape)
    tints = (pick(_TINTS[spec.finish], rng), belt_tint)
    scene = _scene(canvas, belt, to_frame, tints, lambda plane: _blurred(plane, spec, camera))
    classes = [spec.class_id, *(class_id for class_id, _ in spec.more_defects)][: len(canvas.marks)]
    severities = [spec.severity, *(severity for _, severity in spec.more_defects)][: len(canvas.marks)]
    return Rendered(
        expose(scene, spec, camera, rng),
        [(c, *frame_box(mark.box, to_frame, camera)) for c, mark in zip(classes, canvas.marks, strict=True)],
        frame_box(outline_box(canvas.alpha.shape, canvas.blank.margin), to_frame, camera),
        severities,
        _mask(canvas, classes, to_frame, camera) if with_mask else None,
    )


def _draw_part(spec: PartSpec, camera: CameraModel, rng: np.random.Generator) -> Canvas:
    shape = blank(camera.mm_per_pixel, int(rng.integers(VARIANTS)))
    azimuth = np.deg2rad(spec.light_azimuth_deg)
    light = (float(np.cos(azimuth)), float(np.sin(azimuth)))
    canvas = Canvas(shape, light, _shade(spec, shape, light, rng), shape.alpha.copy())
    handle(canvas, rng)
    # A stream of its own: the same seed without the defects gives the same picture around them.
    own = np.random.default_rng([spec.render_seed, spec.class_id])
    for class_id, severity in ((spec.class_id, spec.severity), *spec.more_defects):
        if class_id in DRAW:
            canvas.marks.append(DRAW[class_id](canvas, own, severity))
    return canvas


def _shade(spec: PartSpec, shape: Blank, light: tuple[float, float], rng: np.random.Generator) -> Plane:
    """Brightness of the flawless part; 1: a flat matt face."""
    height, width = shape.alpha.shape
    texture = crop(f"metal_{spec.finish}", height, width, rng) * np.float32(rng.uniform(0.75, 1.25))
    texture *= 1 - 0.75 * shape.floor
    gloss, reflex = _reflex(spec.finish, (height, width), rng)
    luma = texture * (np.float32(0.8) + np.float32(0.5) * reflex)
    luma += np.float32(1 - 0.4 * gloss)
    luma += np.float32(gloss) * reflex
    towards = shape.slope_x * np.float32(light[0])
    towards += shape.slope_y * np.float32(light[1])
    luma += np.float32(_DIFFUSE) * towards
    glint = np.maximum(towards - np.float32(_GLINT_FROM), 0)
    luma += np.float32(_GLINT) * glint
    luma *= shape.ambient
    return np.asarray(luma, np.float32)


def _reflex(finish: str, canvas: tuple[int, int], rng: np.random.Generator) -> tuple[float, Plane]:
    """Strength, and the lamp's broad mirror image on the face, 0..1: a band across the brushing, else a blob."""
    gloss, wide = _GLOSS[finish]
    y, x = np.mgrid[-1:1:9j, -1:1:13j]
    along, across = (x - rng.uniform(-1, 1)) / wide, (y - rng.uniform(-1, 1)) / wide
    square = along**2 + (0.08 if finish == "brushed" else 0.8) * across**2
    small = np.exp(-square).astype(np.float32)
    reflex = cv2.resize(small, canvas[::-1], interpolation=cv2.INTER_CUBIC)
    return gloss * float(rng.uniform(0.5, 1.2)), np.asarray(reflex, np.float32)


def _scene(
    canvas: Canvas,
    belt: Plane,
    to_frame: NDArray[np.float64],
    tints: tuple[Rgb, Rgb],
    lens: Callable[[Plane], Plane],
) -> Plane:
    """Part over shadow over belt, through the lens, as a mosaic of reflectances."""
    height, width = canvas.alpha.shape
    low, high = corners((0, 0, width, height), to_frame)
    # Even corners keep the mosaic's phase.
    left, top = (max(0, int(v)) // 2 * 2 for v in low)
    right = min(belt.shape[1], int(high[0]) // 2 * 2 + 2)
    bottom = min(belt.shape[0], int(high[1]) // 2 * 2 + 2)
    matrix = to_frame.copy()
    matrix[:, 2] -= (left, top)

    def laid(plane: Plane) -> Plane:
        return np.asarray(cv2.warpAffine(plane, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR))

    under = belt[top:bottom, left:right]
    under *= 1 - np.float32(0.55) * laid(canvas.blank.shadow)
    under *= 1 - laid(canvas.alpha)
    scene = lens(belt)
    tint(scene, tints[1])
    over = lens(laid(canvas.luma * canvas.alpha))
    tint(over, tints[0])
    if canvas.film is not None:
        film = lens(laid(canvas.film))
        absorbed = tuple(1 - share for share in canvas.film_rgb)
        tint(film, (absorbed[0], absorbed[1], absorbed[2]))
        over *= 1 - film
    scene[top:bottom, left:right] += over
    return scene


def _blurred(plane: Plane, spec: PartSpec, camera: CameraModel) -> Plane:
    """Lens and defocus (a Gaussian), and the way of the belt while the shutter is open (a box along x)."""
    sigma = float(np.hypot(_LENS_MM, spec.defocus_mm)) / camera.mm_per_pixel
    reach = max(1, round(2.5 * sigma))
    places = np.arange(-reach, reach + 1)
    lens = np.exp(-(places**2) / (2 * sigma**2))
    lens /= lens.sum()
    way = spec.speed_m_per_s * camera.exposure_us * 1e-3 / camera.mm_per_pixel
    half = int(np.ceil(way / 2))
    # Share of every pixel that the box of this length covers.
    box = np.clip(way / 2 + 0.5 - np.abs(np.arange(-half, half + 1)), 0, 1)
    along = np.convolve(lens, box / box.sum())
    return np.asarray(
        cv2.sepFilter2D(
            plane, -1, along.astype(np.float32), lens.astype(np.float32), borderType=cv2.BORDER_REFLECT_101
        ),
        np.float32,
    )


def _mask(
    canvas: Canvas, classes: list[int], to_frame: NDArray[np.float64], camera: CameraModel
) -> NDArray[np.uint8]:
    """Without lens and motion: what is there, not how it is smeared. Graver defects lie above slighter ones."""
    plane = np.zeros(canvas.alpha.shape, np.uint8)
    for class_id, mark in reversed(list(zip(classes, canvas.marks, strict=True))):
        plane[mark.window][mark.mask] = class_id
    size = (camera.width, camera.height)
    return np.asarray(cv2.warpAffine(plane, to_frame, size, flags=cv2.INTER_NEAREST), np.uint8)


def warm_up_metal(camera: CameraModel) -> None:
    """Makes the banks and the drawings."""
    for variant in range(VARIANTS):
        blank(camera.mm_per_pixel, variant)
    for finish in FINISHES:
        bank(f"metal_{finish}")
