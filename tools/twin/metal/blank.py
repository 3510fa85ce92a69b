"""The machined part as a drawing: slopes of every surface, so that one lamp shades all of it."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from tools.twin.blank import HOLES_MM, MARGIN_MM, POCKET_MM, band, coverage, grid, rounded_box
from tools.twin.parts import PART_LENGTH_MM, PART_WIDTH_MM
from tools.twin.surface import Plane, blurred_noise

VARIANTS = 6
"""Drawings of one part: chamfers, countersinks and tool marks differ within what machining allows."""
_CORNER_MM = 3.0
_FILLET_MM = 0.12
"""Slopes run into each other over so much."""


@dataclass(frozen=True)
class Blank:
    """Planes of one variant at one scale, float32, canvas height × width; read-only."""

    mm_per_pixel: float
    alpha: Plane
    """1 on the part, 0 beside it and in the holes."""
    slope_x: Plane
    slope_y: Plane
    """Surface normals' horizontal part: chamfers, countersinks, pocket walls, grooves of the tools."""
    ambient: Plane
    """Share of the room's light that arrives: less along the pocket's walls and on the ground of the pocket."""
    floor: Plane
    """1 on the ground of the pocket."""
    shadow: Plane
    """What the part takes from the light on the belt, 0..1."""
    inside: Plane
    """Distance to the nearest edge (outline or hole) in mm; negative outside."""

    @property
    def margin(self) -> int:
        """Pixels between canvas edge and part."""
        return round(MARGIN_MM / self.mm_per_pixel)


@cache
def blank(mm_per_pixel: float, variant: int) -> Blank:
    """The planes, made once per scale and variant."""
    rng = np.random.default_rng([7_331, variant])
    x, y = grid(mm_per_pixel)
    outline = rounded_box(x, y, PART_LENGTH_MM / 2, PART_WIDTH_MM / 2, _CORNER_MM)
    holes = [(np.hypot(x - hx, y - hy) - radius).astype(np.float32) for hx, hy, radius in HOLES_MM]
    pocket = rounded_box(x, y, *POCKET_MM)
    edge = outline
    for hole in holes:
        edge = np.maximum(edge, -hole)

    chamfer_mm, sink_mm = rng.uniform(0.6, 1.1), rng.uniform(0.7, 1.3)
    relief = _Relief(np.zeros_like(x), np.zeros_like(x), mm_per_pixel)
    walls = [(outline, 1.0, chamfer_mm), (pocket, -0.85, 0.9), *((-hole, 0.9, sink_mm) for hole in holes)]
    for distance, steepness, width_mm in walls:
        relief.tilt(distance, steepness * band(distance, width_mm, mm_per_pixel))
    relief.round_off()
    floor = coverage((pocket + 0.9).astype(np.float32), mm_per_pixel)
    relief.mill(pocket, floor, rng)
    for hole in holes:
        relief.turn(hole, sink_mm, rng)

    planes = (
        coverage(edge, mm_per_pixel),
        relief.slope_x,
        relief.slope_y,
        _ambient(pocket, mm_per_pixel),
        floor,
        _shadow(outline, mm_per_pixel),
        -edge,
    )
    for plane in planes:
        plane.setflags(write=False)
    return Blank(mm_per_pixel, *planes)


@dataclass
class _Relief:
    """Slopes while they are being cut."""

    slope_x: Plane
    slope_y: Plane
    mm_per_pixel: float

    def tilt(self, distance: Plane, amount: Plane) -> None:
        """Adds a slope across the lines of equal distance; below 0 it leads down inwards."""
        normal_y, normal_x = np.gradient(distance, self.mm_per_pixel)
        self.slope_x += (amount * normal_x).astype(np.float32)
        self.slope_y += (amount * normal_y).astype(np.float32)

    def round_off(self) -> None:
        """No machined edge is sharp."""
        sigma = _FILLET_MM / self.mm_per_pixel
        self.slope_x = cv2.GaussianBlur(self.slope_x, (0, 0), sigma)
        self.slope_y = cv2.GaussianBlur(self.slope_y, (0, 0), sigma)

    def mill(self, pocket: Plane, floor: Plane, rng: np.random.Generator) -> None:
        """An end mill clears the pocket in rings from wall to middle."""
        depth = rng.uniform(0.16, 0.3)
        self.tilt(pocket, depth * floor * self._grooves(pocket, rng.uniform(0.8, 1.3), rng))

    def turn(self, hole: Plane, width_mm: float, rng: np.random.Generator) -> None:
        """A countersink leaves rings, and a ring that it has polished on the flat around it."""
        rim = np.exp(-(((hole - width_mm - 0.25) / 0.3) ** 2)) * rng.uniform(0.1, 0.3)
        ring = band((hole - width_mm).astype(np.float32), width_mm, self.mm_per_pixel)
        self.tilt(hole, rim + 0.15 * self._grooves(hole, 0.55, rng) * ring)

    def _grooves(self, distance: Plane, pitch_mm: float, rng: np.random.Generator) -> Plane:
        """Slope across grooves along the lines of equal distance; none where the camera cannot resolve them."""
        resolved = np.clip((pitch_mm / self.mm_per_pixel - 2.5) / 2, 0, 1)
        wobble = 0.9 * blurred_noise(int(rng.integers(1 << 30)), distance.shape, 30)
        phase = 2 * np.pi * (distance / pitch_mm + rng.random()) + wobble
        return np.asarray(resolved * np.sin(phase), np.float32)


def _ambient(pocket: Plane, mm_per_pixel: float) -> Plane:
    inside = coverage(pocket, mm_per_pixel)
    corner = np.exp(-(((pocket + 0.8) / 0.55) ** 2))
    return np.asarray(1 - 0.10 * inside - 0.28 * corner * inside, np.float32)


def _shadow(outline: Plane, mm_per_pixel: float) -> Plane:
    solid = coverage(outline, mm_per_pixel)
    shift = np.array([[1, 0, 1.2 / mm_per_pixel], [0, 1, 1.4 / mm_per_pixel]], np.float32)
    cast = cv2.warpAffine(solid, shift, solid.shape[::-1])
    return np.asarray(np.maximum(cv2.GaussianBlur(cast, (0, 0), 0.7 / mm_per_pixel), 0), np.float32)
