"""The flawless part as a drawing: outline, holes, pocket, chamfers, at the scale of the camera."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from tools.twin.parts import PART_LENGTH_MM, PART_WIDTH_MM
from tools.twin.surface import Plane

MARGIN_MM = 4.0
"""Canvas around the part: room for burrs and the shadow."""
CORNER_MM = 3.0
CHAMFER_MM = 0.9
HOLES_MM = ((-22.0, 0.0, 3.2), (22.0, 0.0, 3.2))
"""x, y, radius."""
POCKET_MM = (13.0, 8.5, 2.5)
"""Half length, half width, corner radius of the milled recess in the middle."""


@dataclass(frozen=True)
class Blank:
    """Planes of one part at one scale, float32, canvas height × width; read-only."""

    mm_per_pixel: float
    alpha: Plane
    """1 on the part, 0 beside it and in the holes."""
    slope_x: Plane
    slope_y: Plane
    """Chamfers and pocket walls: outward normal, 0 on flat ground."""
    shadow: Plane
    """What the part takes from the light on the belt, 0..1; also inside the holes."""
    inside: Plane
    """Distance to the nearest edge (outline or hole) in mm; 0 outside."""

    @property
    def margin(self) -> int:
        """Pixels between canvas edge and part."""
        return round(MARGIN_MM / self.mm_per_pixel)


def grid(mm_per_pixel: float) -> tuple[Plane, Plane]:
    """Centres of the canvas pixels in mm from the centre of the part."""
    width = round((PART_LENGTH_MM + 2 * MARGIN_MM) / mm_per_pixel)
    height = round((PART_WIDTH_MM + 2 * MARGIN_MM) / mm_per_pixel)
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) * mm_per_pixel
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) * mm_per_pixel
    grid_x, grid_y = np.meshgrid(x, y)
    return grid_x.astype(np.float32), grid_y.astype(np.float32)


def rounded_box(x: Plane, y: Plane, half_x: float, half_y: float, radius: float) -> Plane:
    """Signed distance in mm, negative inside (the usual formula for a rounded rectangle)."""
    qx, qy = np.abs(x) - (half_x - radius), np.abs(y) - (half_y - radius)
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    return np.asarray(outside + np.minimum(np.maximum(qx, qy), 0) - radius, np.float32)


def coverage(distance: Plane, mm_per_pixel: float) -> Plane:
    """Share of a pixel inside, from the signed distance at its centre."""
    return np.asarray(np.clip(0.5 - distance / mm_per_pixel, 0, 1), np.float32)


def band(distance: Plane, width_mm: float, mm_per_pixel: float) -> Plane:
    """1 in the strip of this width inside an edge."""
    return coverage(distance, mm_per_pixel) - coverage((distance + width_mm).astype(np.float32), mm_per_pixel)


@cache
def blank(mm_per_pixel: float) -> Blank:
    """The part's planes at this scale, made once."""
    x, y = grid(mm_per_pixel)
    outline = rounded_box(x, y, PART_LENGTH_MM / 2, PART_WIDTH_MM / 2, CORNER_MM)
    holes = [(np.hypot(x - hx, y - hy) - r).astype(np.float32) for hx, hy, r in HOLES_MM]
    pocket = rounded_box(x, y, *POCKET_MM)

    edge = outline
    for hole in holes:
        edge = np.maximum(edge, -hole)
    slope_x, slope_y = np.zeros_like(x), np.zeros_like(x)
    for distance, sign in ((outline, 1.0), *((-hole, 1.0) for hole in holes), (pocket, -0.7)):
        ny, nx = np.gradient(distance, mm_per_pixel)
        strip = band(distance, CHAMFER_MM, mm_per_pixel)
        slope_x += (sign * strip * nx).astype(np.float32)
        slope_y += (sign * strip * ny).astype(np.float32)

    solid = coverage(outline, mm_per_pixel)
    shift = np.array([[1, 0, 1.2 / mm_per_pixel], [0, 1, 1.4 / mm_per_pixel]], np.float32)
    cast = cv2.warpAffine(solid, shift, solid.shape[::-1])
    shadow = np.maximum(cv2.GaussianBlur(cast, (0, 0), 0.7 / mm_per_pixel), 0)
    planes = (coverage(edge, mm_per_pixel), slope_x, slope_y, shadow, np.maximum(-edge, 0))
    for plane in planes:
        plane.setflags(write=False)
    return Blank(mm_per_pixel, *planes)
