"""The four defects, drawn onto the canvas of a part. Severity sets size and contrast."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from tools.twin.blank import Blank
from tools.twin.frame import CanvasBox
from tools.twin.parts import CLASSES
from tools.twin.surface import Plane, crop


@dataclass
class Canvas:
    """A part while it is being drawn; planes are float32 of the blank's size."""

    blank: Blank
    light: tuple[float, float]
    """Unit vector towards the lamp, in the picture plane."""
    luma: Plane
    alpha: Plane
    stain: Plane | None = None
    """How much of the stain's colour filter lies on each pixel."""
    stain_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """What a full stain lets through."""

    def px(self, mm: float) -> float:
        """Millimetres on the part in canvas pixels."""
        return mm / self.blank.mm_per_pixel


Draw = Callable[[Canvas, np.random.Generator, float], CanvasBox]


def between(low: float, high: float, share: float) -> float:
    """The value at ``share`` of the way from ``low`` to ``high``."""
    return low + (high - low) * share


def spot(canvas: Canvas, rng: np.random.Generator, clear_mm: float) -> tuple[float, float]:
    """A random place on the metal, at least ``clear_mm`` from every edge."""
    height, width = canvas.alpha.shape
    m = canvas.blank.margin
    for _ in range(200):
        x, y = rng.uniform(m, width - m), rng.uniform(m, height - m)
        if canvas.blank.inside[int(y), int(x)] >= clear_mm:
            return float(x), float(y)
    return width / 2, height / 2


def window(canvas: Canvas, x: float, y: float, radius: float) -> tuple[slice, slice]:
    """Rows and columns of the canvas around a place."""
    height, width = canvas.alpha.shape
    return (
        slice(max(0, int(y - radius)), min(height, int(y + radius) + 1)),
        slice(max(0, int(x - radius)), min(width, int(x + radius) + 1)),
    )


def offsets(window: tuple[slice, slice], x: float, y: float) -> tuple[Plane, Plane]:
    """Columns and rows of the window as seen from a place: dx (1, w), dy (h, 1)."""
    dy = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None, :] - np.float32(x)
    return dx, dy


def mask_box(mask: Plane, window: tuple[slice, slice], threshold: float) -> CanvasBox:
    """Around what is above ``threshold``; the whole window where nothing is."""
    rows, cols = np.flatnonzero((mask > threshold).any(1)), np.flatnonzero((mask > threshold).any(0))
    top, left = window[0].start, window[1].start
    if not len(rows):
        return (left, top, window[1].stop, window[0].stop)
    return (left + int(cols[0]), top + int(rows[0]), left + int(cols[-1]) + 1, top + int(rows[-1]) + 1)


# --- crack -------------------------------------------------------------------------------------------


def _walk(
    rng: np.random.Generator, start: np.ndarray, angle: float, length: float, step: float
) -> np.ndarray:
    """A path that keeps its direction but kinks, as cracks along grain boundaries do."""
    count = max(3, int(length / step))
    angles = angle + np.cumsum(rng.normal(0, 0.22, count)) + rng.normal(0, 0.25, count)
    steps = rng.uniform(0.6, 1.4, count) * step
    path = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * steps[:, None], 0)
    return np.vstack([start, start + path])


def draw_crack(canvas: Canvas, rng: np.random.Generator, severity: float) -> CanvasBox:
    """Thin, dark, branching; its far lip catches the light."""
    length = canvas.px(between(6, 18, severity) * rng.uniform(0.85, 1.15))
    start = np.array(spot(canvas, rng, 1.0))
    centre = np.array(canvas.alpha.shape[::-1]) / 2
    # Towards the middle, so that it does not leave the part at once.
    heading = float(np.arctan2(*(centre - start)[::-1])) + rng.uniform(-1.2, 1.2)
    paths = [_walk(rng, start, heading, length, canvas.px(0.6))]
    for _ in range(int(rng.integers(0, 3))):
        root = paths[0][int(rng.integers(1, len(paths[0]) - 1))]
        turn = rng.choice((-1, 1)) * rng.uniform(0.5, 1.1)
        paths.append(_walk(rng, root, heading + turn, length * rng.uniform(0.2, 0.45), canvas.px(0.6)))

    width = canvas.px(between(0.26, 0.5, severity))
    mask = np.zeros(canvas.alpha.shape, np.uint8)
    for number, path in enumerate(paths):
        _stroke(mask, path, width * (1.0 if number == 0 else 0.75))
    points = np.vstack(paths)
    low, high = points.min(0) - 4, points.max(0) + 4
    here = clip_window(canvas, low, high)
    part: Plane = np.asarray(mask[here] / np.float32(255) * canvas.alpha[here], np.float32)
    lip = np.roll(part, (round(-2 * canvas.light[1]), round(-2 * canvas.light[0])), (0, 1)) * (1 - part)
    depth = between(0.5, 0.85, severity)
    luma = canvas.luma[here]
    luma *= (1 - depth * part) * (1 + 0.2 * lip * canvas.alpha[here])
    return mask_box(part, here, 0.2)


def clip_window(canvas: Canvas, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns from one (x, y) to another, cut to the canvas."""
    height, width = canvas.alpha.shape
    left, top = int(np.clip(low[0], 0, width - 2)), int(np.clip(low[1], 0, height - 2))
    return (
        slice(top, int(np.clip(high[1], top + 1, height))),
        slice(left, int(np.clip(high[0], left + 1, width))),
    )


def _stroke(mask: np.ndarray, path: np.ndarray, width: float) -> None:
    """Anti-aliased, thinning out towards its end."""
    fixed = np.round(path * 16).astype(np.int32)
    cut = max(2, int(len(fixed) * 0.6))
    thick = max(1, round(width))
    cv2.polylines(mask, [fixed[: cut + 1]], False, 255, thick, cv2.LINE_AA, 4)
    cv2.polylines(mask, [fixed[cut:]], False, 230, max(1, thick - 1), cv2.LINE_AA, 4)


# --- stain -------------------------------------------------------------------------------------------

_STAINS = ((0.78, 0.62, 0.40), (0.66, 0.52, 0.36), (0.62, 0.60, 0.52))
"""What rust-brown, dark oil and greyish residue let through (R, G, B)."""


def draw_stain(canvas: Canvas, rng: np.random.Generator, severity: float) -> CanvasBox:
    """A translucent blob with a ragged, slightly darker rim, as liquids dry."""
    radius = canvas.px(between(1.8, 5.0, severity) * rng.uniform(0.9, 1.2))
    x, y = spot(canvas, rng, 1.2)
    here = window(canvas, x, y, 1.9 * radius)
    dx, dy = offsets(here, x, y)
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.5)
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    ragged = cv2.resize(
        rng.normal(0, 0.16, (7, 7)).astype(np.float32),
        (dx.shape[1], dy.shape[0]),
        interpolation=cv2.INTER_CUBIC,
    )
    distance = np.hypot(u / stretch, v * np.sqrt(stretch)) / radius + ragged
    body = np.clip((1 - distance) / 0.25, 0, 1)
    rim = np.exp(-(((distance - 0.88) / 0.1) ** 2))
    strength = between(0.48, 0.95, severity)
    plane = np.zeros(canvas.alpha.shape, np.float32)
    plane[here] = np.clip(strength * (0.85 * body + 0.25 * rim), 0, 1) * canvas.alpha[here]
    canvas.stain, canvas.stain_rgb = plane, _STAINS[int(rng.integers(len(_STAINS)))]
    return mask_box(plane[here], here, 0.35 * strength)


# --- dent --------------------------------------------------------------------------------------------


def draw_dent(canvas: Canvas, rng: np.random.Generator, severity: float) -> CanvasBox:
    """A dimple: dark on the lamp's side, bright on the far side, a small glint at its ground."""
    radius = canvas.px(between(1.4, 3.6, severity) * rng.uniform(0.9, 1.15))
    x, y = spot(canvas, rng, 1.6)
    here = window(canvas, x, y, 2.6 * radius)
    dx, dy = offsets(here, x, y)
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.35)
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    square = (u / (radius * stretch)) ** 2 + (v * stretch / radius) ** 2
    towards = (dx * canvas.light[0] + dy * canvas.light[1]) / radius
    wall = -towards * np.exp(-square * 0.9)
    depth = between(0.45, 1.1, severity)
    ground = 0.18 * np.exp(-square * 5)
    shade = depth * (0.95 * wall - 0.12 * np.exp(-square) + ground)
    canvas.luma[here] *= np.clip(1 + shade * canvas.alpha[here], 0.12, 2.2).astype(np.float32)
    seen = np.asarray(np.abs(shade) * canvas.alpha[here], np.float32)
    return mask_box(seen, here, 0.15 * depth)


# --- excess ------------------------------------------------------------------------------------------


def draw_excess(canvas: Canvas, rng: np.random.Generator, severity: float) -> CanvasBox:
    """Flash or spatter: a raised, rough lump, mostly at an edge, lit on the lamp's side, with a shadow."""
    radius = canvas.px(between(1.1, 3.0, severity) * rng.uniform(0.9, 1.2))
    x, y = _edge_spot(canvas, rng) if rng.random() < 0.75 else spot(canvas, rng, 2.0)
    here = window(canvas, x, y, 2.2 * radius + 4)
    dx, dy = offsets(here, x, y)
    lump = _lump(dx, dy, radius, rng)
    gy, gx = np.gradient(cv2.GaussianBlur(lump, (0, 0), max(0.8, radius * 0.22)))
    slope = -(gx * canvas.light[0] + gy * canvas.light[1]) * radius
    rough = crop("cast", lump.shape[0], lump.shape[1], rng)
    bright = between(0.9, 1.15, severity) * (1 + 1.5 * rough) + 0.35 * slope
    luma, alpha = canvas.luma[here], canvas.alpha[here]
    move = 0.45 * radius
    shift = np.array([[1, 0, -move * canvas.light[0]], [0, 1, -move * canvas.light[1]]], np.float32)
    shadow = cv2.GaussianBlur(cv2.warpAffine(lump, shift, lump.shape[::-1]), (0, 0), 1.5)
    luma *= 1 - between(0.45, 0.65, severity) * shadow * (1 - lump)
    luma += lump * (np.clip(bright, 0.3, 1.35) - luma)
    np.maximum(alpha, lump, out=alpha)
    return mask_box(lump, here, 0.3)


def _edge_spot(canvas: Canvas, rng: np.random.Generator) -> tuple[float, float]:
    """A place just inside the outline, burrs being where tools leave the part."""
    height, width = canvas.alpha.shape
    inset = canvas.blank.margin + canvas.px(rng.uniform(0.0, 0.6))
    corner = canvas.px(3.5) + canvas.blank.margin
    if rng.random() < width / (width + height):
        return float(rng.uniform(corner, width - corner)), float(rng.choice((inset, height - 1 - inset)))
    return float(rng.choice((inset, width - 1 - inset))), float(rng.uniform(corner, height - corner))


def _lump(dx: Plane, dy: Plane, radius: float, rng: np.random.Generator) -> Plane:
    """A ragged disc: its radius wanders with the angle."""
    angle = np.arctan2(dy, dx)
    wander = np.zeros_like(angle)
    for order, amount in ((2, 0.22), (3, 0.14), (5, 0.09), (8, 0.05)):
        wander += amount * np.sin(order * angle + rng.uniform(0, 2 * np.pi))
    distance = np.hypot(dx, dy) - radius * (1 + wander)
    return np.clip(0.5 - distance / 1.5, 0, 1).astype(np.float32)


DRAW: dict[int, Draw] = {
    CLASSES.index("crack"): draw_crack,
    CLASSES.index("stain"): draw_stain,
    CLASSES.index("dent"): draw_dent,
    CLASSES.index("excess"): draw_excess,
}
