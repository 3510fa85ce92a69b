"""A first head for classes that the backbone was never trained for, from a few pictures of each.

The backbone stays as it was built, as in ``calibration.teach``; here every class is new. How to fit is chosen by
cross-validation over parts, on pictures and altered copies alike: a head that knows one light only is of no use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.augment import widely_exposed
from calibration.bank import Read, joined, make_bank
from calibration.discriminant import RIDGES, SHRINKS, Doubles, Linear, Moments, refine
from calibration.errors import CalibrationError
from calibration.fits import Lesson, Way
from calibration.pictures import Picture, Pixels, as_bgr, read_frame
from calibration.scaling import Scale, principal
from calibration.taps import Backbone, Head
from calibration.teach import FOLDS, Say, fold_of
from edge._core import PixelFormat

COPIES = 12
"""Altered copies of each picture (``widely_exposed``)."""
_ALL, _LOGITS = "all features", "logits alone"


@dataclass(frozen=True)
class FirstHead:
    """What was fitted and how."""

    head: Head
    way: Way
    accuracy: float
    """By cross-validation: of pictures and copies whose part the fold had not learned from."""


def examples(
    backbone: Backbone,
    pictures: Sequence[Picture],
    classes: Sequence[str],
    seed: int,
    *,
    copies: int = COPIES,
    say: Say = lambda phase, share: None,
    read: Read = read_frame,
) -> Lesson:
    """Features of the pictures and of ``copies`` altered copies of each."""

    def altering(copy: int) -> Callable[[Pixels, PixelFormat, int], Pixels]:
        def alter(pixels: Pixels, pixel_format: PixelFormat, index: int) -> Pixels:
            return widely_exposed(as_bgr(pixels, pixel_format), (seed * 1009 + index) * (copies + 1) + copy)

        return alter

    alterations = [None, *(altering(copy) for copy in range(copies))]
    rows = joined([make_bank(backbone, pictures, classes, say, alter=a, read=read) for a in alterations])
    count = len(pictures)
    original = np.concatenate([np.full(count, -1), np.tile(np.arange(count), copies)]).astype(np.int64)
    return Lesson(rows.taps, rows.logits, rows.labels, rows.groups, original, len(classes))


def first_head(lesson: Lesson, seed: int, say: Say = lambda phase, share: None) -> FirstHead:
    """Raises CalibrationError: a class with fewer than two parts."""
    parts = [len(np.unique(lesson.groups[lesson.labels == label])) for label in range(lesson.classes)]
    if min(parts) < 2:
        raise CalibrationError(f"parts per class: {parts}; expected at least 2 of each")
    scale = Scale.of(lesson.taps, lesson.logits)
    every = scale(lesson.taps, lesson.logits)
    basis = principal(every, lesson.taps.shape[1])
    x, old = every @ basis, lesson.logits.shape[1]
    folds = fold_of(lesson, seed)
    ways = [Way(kind, shrink, ridge) for kind in (_ALL, _LOGITS) for shrink in SHRINKS for ridge in RIDGES]
    right = dict.fromkeys(ways, 0)
    for fold in range(FOLDS):
        inside = folds != fold
        for way in ways:
            fitted = _fit(way, x[inside], lesson.labels[inside], lesson.classes, old)
            right[way] += int((fitted(x[~inside]).argmax(1) == lesson.labels[~inside]).sum())
        say("cross-validation", (fold + 1) / (FOLDS + 1))
    way = max(ways, key=lambda way: right[way])
    best = _fit(way, x, lesson.labels, lesson.classes, old)
    say("cross-validation", 1.0)
    head = scale.head(Linear(best.weights @ basis.T, best.bias))
    return FirstHead(head, way, right[way] / len(lesson.labels))


def _fit(way: Way, x: Doubles, labels: np.ndarray, classes: int, old: int) -> Linear:
    """On (taps, ``old`` logits); weights of what is not used are 0."""
    unused = 0 if way.kind == _ALL else x.shape[1] - old
    used = x[:, unused:]
    linear = refine(Moments.of(used, labels, classes).discriminant(way.shrink), used, labels, way.ridge)
    return Linear(np.hstack([np.zeros((classes, unused)), linear.weights]), linear.bias)
