"""How good boxes are: IoU, and average precision at IoU 0.5 (all-point interpolation, as PASCAL VOC 2010 and later)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """One picture's truth and what was found. Boxes are x1, y1, x2, y2 in any one unit."""

    boxes: Floats
    """T×4."""
    classes: NDArray[np.int64]
    """T."""
    found: Floats
    """F×4."""
    found_classes: NDArray[np.int64]
    """F."""
    scores: Floats
    """F."""


def iou(a: Floats, b: Floats) -> Floats:
    """Boxes N×4 and M×4 → N×M: share of the union that both cover, 0 for boxes without an area."""
    one, other = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    common = np.clip(sides, 0, None).prod(-1)
    union = _areas(one) + _areas(other) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(union), where=union > 0), np.float32)


def mean_iou(a: Floats, b: Floats) -> float:
    """Row by row, N×4 each; NaN for no rows."""
    pairs = [float(iou(one[None], other[None])[0, 0]) for one, other in zip(a, b, strict=True)]
    return float(np.mean(pairs)) if pairs else float("nan")


def average_precision(pictures: Sequence[Picture], class_id: int, least_iou: float = 0.5) -> float:
    """Area under precision over recall of one class; NaN where the class never occurs.

    Best score first, every detection takes the free box that it covers best; one that covers none by ``least_iou`` is
    a false alarm, and so is a second one of the same box.
    """
    wanted, scores, hits = 0, [], []
    for picture in pictures:
        mine = picture.found_classes == class_id
        order = np.argsort(-picture.scores[mine], kind="stable")
        truth = picture.boxes[picture.classes == class_id]
        wanted += len(truth)
        scores.append(picture.scores[mine][order])
        hits.append(_hits(picture.found[mine][order], truth, least_iou))
    if wanted == 0:
        return float("nan")
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.concatenate(hits)[order]
    found = np.cumsum(right)
    recall, precision = found / wanted, found / np.arange(1, len(right) + 1)
    # At every recall, the best precision that is reached there or later.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate(([0.0], recall))) * precision))


def mean_average_precision(pictures: Sequence[Picture], classes: int, least_iou: float = 0.5) -> float:
    """Mean over the classes that occur; NaN when none does."""
    each = np.array([average_precision(pictures, index, least_iou) for index in range(classes)])
    return float(np.nanmean(each)) if not np.isnan(each).all() else float("nan")


def _hits(found: Floats, truth: Floats, least_iou: float) -> NDArray[np.bool_]:
    hit, free = np.zeros(len(found), bool), np.ones(len(truth), bool)
    for index, row in enumerate(iou(found, truth)):
        open_to = np.where(free, row, -1.0)
        if len(open_to) and open_to.max() >= least_iou:
            hit[index], free[int(open_to.argmax())] = True, False
    return hit


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(
        np.clip(boxes[..., 2] - boxes[..., 0], 0, None) * np.clip(boxes[..., 3] - boxes[..., 1], 0, None)
    )
