"""Millimetres per pixel, from a picture of a target with known pitch: a chessboard or a grid of dots."""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import CameraError

WORST_RESIDUAL_PX = 0.5
"""Distance of the found points from an even plane, RMS: above it they were not found well, or the lens bends lines."""
WORST_SPREAD = 0.02
"""Difference of the scale between places and directions: above it one number is not true for the whole picture."""
LEAST_PITCH_PX = 8.0
"""Finer targets are not found to a fraction of a pixel."""


@dataclass(frozen=True)
class Target:
    """``columns`` × ``rows`` points: inner corners of a chessboard, or dots; ``pitch_mm`` from one to the next."""

    kind: Literal["chessboard", "dots"]
    columns: int
    rows: int
    pitch_mm: float


@dataclass(frozen=True)
class Scale:
    """What a picture of a target says."""

    mm_per_pixel: float
    uncertainty_mm_per_pixel: float
    """One standard deviation: of the fit, and what the scale differs from place to place."""
    residual_px: float
    """RMS distance of the points from an even plane seen in perspective."""
    spread: float
    """(largest - smallest) / mean of the scale over corners, middle and directions: tilt, non-square pixels."""
    points: NDArray[np.float32]
    """Where they were found, rows × columns, pixels (x, y)."""


def measure(grey: NDArray[np.uint8], target: Target) -> Scale:
    """Height × width grey levels. Raises CameraError: no target, or one that tells no single scale.

    A plane seen in perspective is fitted (homography, least squares); its derivative is the local scale in both
    directions of the board (singular values), of which the geometric mean at the middle is the answer.
    """
    points = _find(grey, target)
    board = np.stack(np.meshgrid(np.arange(target.columns), np.arange(target.rows)), axis=-1).reshape(-1, 2)
    board_mm = board.astype(np.float64) * target.pitch_mm
    plane, _ = cv2.findHomography(board_mm, points.astype(np.float64), 0)
    if plane is None:
        raise CameraError("the points of the target lie on one line; show it whole and flat")
    seen = cv2.perspectiveTransform(board_mm[None], plane)[0]
    residual_px = float(np.sqrt(np.mean(np.sum((seen - points) ** 2, axis=1))))
    size_mm = np.array([target.columns - 1, target.rows - 1]) * target.pitch_mm
    places = [size_mm * np.array(share) for share in ((0.5, 0.5), (0, 0), (0, 1), (1, 0), (1, 1))]
    local = np.array([np.linalg.svd(_derivative(plane, place), compute_uv=False) for place in places])
    px_per_mm = float(np.sqrt(local[0].prod()))
    spread = float((local.max() - local.min()) / px_per_mm)
    _refuse(residual_px, spread, px_per_mm * target.pitch_mm)
    # A length over n points of one row is known to residual * sqrt(12 / n) of their extent (slope of a line).
    extent_px = px_per_mm * float(np.hypot(*size_mm))
    fit = residual_px * math.sqrt(12 / len(points)) / extent_px
    uncertainty = math.hypot(fit, spread / math.sqrt(12)) / px_per_mm
    return Scale(1 / px_per_mm, uncertainty, residual_px, spread, points)


def drawn(picture: NDArray[np.uint8], target: Target, scale: Scale) -> NDArray[np.uint8]:
    """The picture with the points that were found."""
    colour = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture[..., :3].copy()
    cv2.drawChessboardCorners(colour, (target.columns, target.rows), scale.points[:, None], True)
    return np.asarray(colour, np.uint8)


def _find(grey: NDArray[np.uint8], target: Target) -> NDArray[np.float32]:
    size = (target.columns, target.rows)
    if target.kind == "chessboard":
        found, points = cv2.findChessboardCornersSB(grey, size, flags=cv2.CALIB_CB_ACCURACY)
    else:
        found, points = cv2.findCirclesGrid(grey, size, flags=cv2.CALIB_CB_SYMMETRIC_GRID)
        if not found:  # the detector looks for dark dots
            found, points = cv2.findCirclesGrid(255 - grey, size, flags=cv2.CALIB_CB_SYMMETRIC_GRID)
    if not found:
        what = "inner corners" if target.kind == "chessboard" else "dots"
        raise CameraError(
            f"no {target.kind} of {target.columns} x {target.rows} {what} in the picture (mean {grey.mean():.0f}); "
            "expected the whole target, flat, sharp and evenly lit, with a light border. Count columns and rows again"
        )
    return np.asarray(points, np.float32).reshape(-1, 2)


def _derivative(plane: NDArray[np.float64], place_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of (x, y) in pixels by (x, y) in mm, 2 × 2."""
    numerator = plane @ np.append(place_mm, 1.0)
    weight = numerator[2]
    seen = numerator[:2] / weight
    return np.asarray((plane[:2, :2] - np.outer(seen, plane[2, :2])) / weight)


def _refuse(residual_px: float, spread: float, pitch_px: float) -> None:
    if pitch_px < LEAST_PITCH_PX:
        raise CameraError(
            f"the target's pitch is {pitch_px:.1f} pixels, at least {LEAST_PITCH_PX:g} expected: take a coarser target"
        )
    if residual_px > WORST_RESIDUAL_PX:
        raise CameraError(
            f"the points lie {residual_px:.2f} px (RMS) from an even plane, at most {WORST_RESIDUAL_PX:g} expected: is "
            "the target flat, sharp and at rest? Else the lens bends straight lines; use its middle or another one"
        )
    if spread > WORST_SPREAD:
        raise CameraError(
            f"the scale differs by {spread:.1%} over the target, at most {WORST_SPREAD:.0%} expected: it is tilted "
            "against the camera, or pixels are not square. Lay it flat on the belt and look straight down"
        )
