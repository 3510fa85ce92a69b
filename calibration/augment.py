"""Altered copies of the few pictures there are: mirrored, turned a little, exposed otherwise; and defects laid onto
good parts where there are hardly any. Poisson blending: Pérez et al., ACM TOG 22 (2003), as OpenCV has it."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.pictures import Pixels
from engines.calibration_set import expose

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""
WIDE_EV = 1.5
FEW = 5
"""Below so many pictures defects are also laid onto good parts."""


def _mirrored(axis: int, ev: float) -> Callable[[Pixels, np.random.Generator], Pixels]:
    def alter(bgr: Pixels, rng: np.random.Generator) -> Pixels:
        return expose(np.ascontiguousarray(cv2.flip(bgr, axis)), ev + float(rng.uniform(-0.1, 0.1)), rng)

    return alter


def _exposed(ev: float) -> Callable[[Pixels, np.random.Generator], Pixels]:
    return lambda bgr, rng: expose(bgr, ev, rng)


def _moved(bgr: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = bgr.shape[:2]
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), float(rng.uniform(-3, 3)), float(rng.uniform(0.96, 1.04))
    )
    turn[:, 2] += rng.uniform(-0.02, 0.02, 2) * (width, height)
    return np.asarray(cv2.warpAffine(bgr, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.uint8)


COPIES: tuple[Callable[[Pixels, np.random.Generator], Pixels], ...] = (
    _mirrored(1, 0.0),
    _mirrored(0, 0.0),
    _mirrored(-1, 0.0),
    _exposed(-0.5),
    _exposed(0.45),
    _mirrored(-1, -0.4),
    _mirrored(1, 0.35),
    _moved,
)


def altered(bgr: Pixels, copy: int, seed: int) -> Pixels:
    """Copy ``copy`` (0 … len(COPIES) − 1) of a colour picture; the same seed gives the same."""
    return COPIES[copy](bgr, np.random.default_rng([seed, copy]))


def widely_exposed(bgr: Pixels, seed: int) -> Pixels:
    """Mirrored or not, and exposed anywhere within ± ``WIDE_EV``: of what has no upright and is lit as it comes."""
    rng = np.random.default_rng([seed, 91])
    axis = int(rng.integers(-1, 3))
    turned = bgr if axis == 2 else np.ascontiguousarray(cv2.flip(bgr, axis))
    return expose(turned, float(rng.uniform(-WIDE_EV, WIDE_EV)), rng)


def lay_onto(defective: Pixels, box: Box, good: Pixels, seed: int) -> Pixels | None:
    """The defect in ``box`` blended onto a good part at the same place, a little moved. BGR, equal sizes.

    None where it does not fit.
    """
    if defective.shape != good.shape:
        return None
    rng = np.random.default_rng([seed, 77])
    height, width = good.shape[:2]
    grown = 0.15 * max(box[2] - box[0], box[3] - box[1]) + 3
    x1, y1 = max(1, int(box[0] - grown)), max(1, int(box[1] - grown))
    x2, y2 = min(width - 1, int(box[2] + grown)), min(height - 1, int(box[3] + grown))
    if x2 - x1 < 6 or y2 - y1 < 6 or (x2 - x1) * (y2 - y1) > 0.6 * width * height:
        return None
    patch = defective[y1:y2, x1:x2]
    mask = np.full(patch.shape[:2], 255, np.uint8)
    room_x, room_y = int(0.05 * width), int(0.05 * height)
    centre = (
        int(
            np.clip(
                (x1 + x2) // 2 + rng.integers(-room_x, room_x + 1),
                (x2 - x1) // 2 + 2,
                width - (x2 - x1) // 2 - 3,
            )
        ),
        int(
            np.clip(
                (y1 + y2) // 2 + rng.integers(-room_y, room_y + 1),
                (y2 - y1) // 2 + 2,
                height - (y2 - y1) // 2 - 3,
            )
        ),
    )
    try:
        return np.asarray(cv2.seamlessClone(patch, good, mask, centre, cv2.NORMAL_CLONE), np.uint8)
    except cv2.error:
        return None


def enough_copies(pictures: int) -> int:
    """Copies of each picture: all kinds while there are few."""
    return len(COPIES) if pictures <= 20 else 4


def seeds_of(paths: NDArray[np.str_] | list[str], seed: int) -> list[int]:
    """One number per picture, by its place in the list."""
    return [seed * 100_003 + index for index in range(len(paths))]
