"""A part while it is being drawn, and the geometry that defects and dirt have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.twin.frame import CanvasBox, Rgb
from tools.twin.metal.blank import Blank
from tools.twin.surface import Plane

Window = tuple[slice, slice]
"""Rows and columns of the canvas."""
Path = NDArray[np.float64]
"""N×2 points x, y in canvas pixels."""


@dataclass(frozen=True)
class Mark:
    """The truth of one defect, in canvas pixels."""

    box: CanvasBox
    window: Window
    mask: NDArray[np.bool_]
    """Of the window's shape."""


@dataclass
class Canvas:
    """Planes are float32 of the blank's size and are drawn upon in place."""

    blank: Blank
    light: tuple[float, float]
    """Unit vector towards the lamp, in the picture plane."""
    luma: Plane
    alpha: Plane
    film: Plane | None = None
    """How much of a coloured film (stain) lies on each pixel."""
    film_rgb: Rgb = (1.0, 1.0, 1.0)
    """What a full film lets through."""
    marks: list[Mark] = field(default_factory=list)

    def px(self, mm: float) -> float:
        """Millimetres on the part in canvas pixels."""
        return mm / self.blank.mm_per_pixel

    def window(self, x: float, y: float, radius: float) -> Window:
        """The square around a point, cut at the canvas' edge; at least one pixel."""
        return self.around(np.array([[x - radius, y - radius], [x + radius, y + radius]]), 0)

    def around(self, points: Path, room: float) -> Window:
        """The box around points with some room, cut at the canvas' edge; at least one pixel."""
        height, width = self.alpha.shape
        (left, top), (right, bottom) = points.min(0) - room, points.max(0) + room
        x1, y1 = int(np.clip(left, 0, width - 2)), int(np.clip(top, 0, height - 2))
        x2, y2 = int(np.clip(right + 1, x1 + 1, width)), int(np.clip(bottom + 1, y1 + 1, height))
        return (slice(y1, y2), slice(x1, x2))


Draw = Callable[[Canvas, np.random.Generator, float], Mark]
"""(canvas, chances, severity 0..1) → what was drawn where."""


def size_between(low: float, high: float, severity: float) -> float:
    """Sizes grow by ratio: half the parts lie below the geometric mean."""
    return float(low * (high / low) ** severity)


def between(low: float, high: float, severity: float) -> float:
    """Contrasts grow evenly."""
    return low + (high - low) * severity


def offsets(window: Window, x: float, y: float) -> tuple[Plane, Plane]:
    """Distance of every pixel of the window from a point, along x (1×w) and y (h×1)."""
    dy = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None, :] - np.float32(x)
    return dx, dy


def mark_of(strength: Plane, window: Window, threshold: float) -> Mark:
    """Mask and box of what is stronger than the threshold; the whole window when nothing is."""
    mask = strength > threshold
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = window[0].start, window[1].start
    if not len(rows):
        return Mark((left, top, window[1].stop, window[0].stop), window, np.ones_like(mask))
    box = (left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1)
    return Mark(box, window, mask)


def spot(canvas: Canvas, rng: np.random.Generator, clear_mm: float) -> tuple[float, float]:
    """A random place on the metal, at least ``clear_mm`` from every edge."""
    height, width = canvas.alpha.shape
    m = canvas.blank.margin
    for _ in range(200):
        x, y = rng.uniform(m, width - m), rng.uniform(m, height - m)
        if canvas.blank.inside[int(y), int(x)] >= clear_mm:
            return float(x), float(y)
    return width / 2, height / 4


def edge_spot(canvas: Canvas, rng: np.random.Generator, inset_mm: float) -> tuple[float, float, float]:
    """x, y and direction (radians) inwards, at ``inset_mm`` from the outline; corners are left out."""
    height, width = canvas.alpha.shape
    m, corner = canvas.blank.margin, canvas.px(3.5)
    inset = m + canvas.px(inset_mm)
    if rng.random() < width / (width + height):
        x, low = rng.uniform(m + corner, width - m - corner), rng.random() < 0.5
        return float(x), inset if low else height - 1 - inset, np.pi / 2 if low else -np.pi / 2
    y, low = rng.uniform(m + corner, height - m - corner), rng.random() < 0.5
    return inset if low else width - 1 - inset, float(y), 0.0 if low else np.pi


def stroke(mask: NDArray[np.uint8], path: Path, width: float, tip: float = 0.4) -> None:
    """Anti-aliased line; thinner than a pixel it grows fainter instead. ``tip``: width at the end, relative."""
    fixed = np.round(path * 16).astype(np.int32)
    pieces = 3
    cuts = np.linspace(0, len(path) - 1, pieces + 1).astype(int)
    for number in range(pieces):
        here = width * (1 - (1 - tip) * number / (pieces - 1))
        thick = max(1, round(here))
        strength = min(255.0, 255.0 * here / thick)
        piece = fixed[cuts[number] : cuts[number + 1] + 1]
        if len(piece) > 1:
            layer = cv2.polylines(np.zeros_like(mask), [piece], False, strength, thick, cv2.LINE_AA, 4)
            np.maximum(mask, layer, out=mask)
