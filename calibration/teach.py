"""Teaches a head one more class, with the old ones replayed, and chooses how by cross-validation over parts.

Two ways compete. ``keep``: the old scores stay what they are and one row is added, so that an old part can only be
lost to the new class. ``refit``: a new head for all classes. Whatever wins, the bias of the new class finds as many of
its parts as can be without more old parts lost than allowed, of all and of each class.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.discriminant import Doubles, Ints, Linear, softmax
from calibration.errors import CalibrationError
from calibration.fits import Fitted, Lesson, Way, fit, ways_for
from calibration.scaling import Scale, principal
from calibration.taps import Head

FOLDS = 4
LOSS_ALLOWED = 0.002
"""Share of old parts that cross-validation may lose."""
CLASS_LOSS_ALLOWED = 0.002
"""Share of each old class; to an added row one part may always be lost. Both are less than what the proof allows."""
_PRICE = 100.0
"""A point of old parts beyond what is allowed is worth so many points of the new class."""
_REFIT_MUST_WIN = 0.05
"""By so much more worth: it moves every old score, and cross-validation over few old parts sees little of that."""
_SHIFTS = np.arange(-8.0, 8.01, 0.25)
Say = Callable[[str, float], None]


@dataclass(frozen=True)
class Taught:
    """The head, how it was chosen, and what cross-validation says of it."""

    head: Head
    way: Way
    shift: float
    recall: float
    """Of the new class, on parts that the fold did not learn from."""
    old_loss: float
    """Share of old parts that the old head got right and this one does not, less those won."""
    doubtful: tuple[int, ...]
    """Rows of old good-looking labels that every fold takes for the new class: perhaps mislabelled."""


def teach(lesson: Lesson, seed: int, say: Say = lambda phase, share: None) -> Taught:
    """Raises CalibrationError: fewer than two parts of the new class, or none of an old one."""
    counts = np.bincount(lesson.labels[lesson.original < 0], minlength=lesson.classes)
    if counts[-1] < 2 or not counts[:-1].any():
        raise CalibrationError(
            f"{counts[-1]} parts of the new class and {counts[:-1].sum()} of the old ones: expected at least 2 and 1"
        )
    old = lesson.labels < lesson.classes - 1
    scale = Scale.of(lesson.taps[old], lesson.logits[old])
    every = scale(lesson.taps, lesson.logits)
    basis = principal(every, lesson.taps.shape[1])
    x = every @ basis
    folds = fold_of(lesson, seed)
    ways = ways_for(lesson)
    held = {way: np.zeros((len(x), lesson.classes)) for way in ways}
    for fold in range(FOLDS):
        inside, outside = folds != fold, folds == fold
        for way, fitted in fit(x, lesson, inside, ways).items():
            held[way][outside] = fitted.logits(x[outside], lesson.logits[outside])
        say("cross-validation", (fold + 1) / (FOLDS + 1))
    rows = lesson.original < 0
    judged = {way: _judge(way, logits[rows], lesson, rows) for way, logits in held.items()}
    way = max(judged, key=lambda w: judged[w].worth - _REFIT_MUST_WIN * (w.kind == "refit"))
    final = fit(x, lesson, np.ones(len(x), bool), [way])[way]
    say("cross-validation", 1.0)
    best = judged[way]
    taken = (held[way].argmax(1) == lesson.classes - 1) & (lesson.labels < lesson.classes - 1) & rows
    return Taught(
        _head(final.shifted(best.shift).seen_through(basis), scale, lesson),
        way,
        best.shift,
        best.recall,
        best.loss,
        tuple(int(i) for i in np.flatnonzero(taken)),
    )


def fold_of(lesson: Lesson, seed: int) -> Ints:
    """0 … FOLDS − 1: by part, every class spread evenly; a copy goes with its original."""
    rng = np.random.default_rng([seed, 31])
    fold = np.zeros(len(lesson.labels), np.int64)
    for label in range(lesson.classes):
        own = np.flatnonzero((lesson.labels == label) & (lesson.original < 0))
        groups = rng.permutation(np.unique(lesson.groups[own]))
        number = {str(group): i % FOLDS for i, group in enumerate(groups)}
        fold[own] = [number[str(g)] for g in lesson.groups[own]]
    copies = lesson.original >= 0
    fold[copies] = fold[lesson.original[copies]]
    return fold


@dataclass(frozen=True)
class _Judged:
    recall: float
    loss: float
    shift: float
    beyond: float
    """Share of old parts lost beyond what is allowed, of all or of single classes, whichever is more."""

    @property
    def worth(self) -> float:
        return self.recall - _PRICE * self.beyond


def _judge(way: Way, logits: Doubles, lesson: Lesson, rows: NDArray[np.bool_]) -> _Judged:
    """The shift of the new class's bias that is worth most. Often many find every part and lose as few old ones: the
    middle one of them is as far from missing the next new part as from taking the next old one."""
    labels, old = lesson.labels[rows], lesson.logits[rows]
    is_old = labels < lesson.classes - 1
    parts = np.bincount(labels[is_old], minlength=lesson.classes)
    before = np.bincount(labels[old.argmax(1) == labels], minlength=lesson.classes)
    # A new head moves every old score: one part lost here is two or three on the exam.
    allowed = np.maximum(0 if way.kind == "refit" else 1, np.floor(CLASS_LOSS_ALLOWED * parts))

    def judged(shift: float) -> _Judged:
        moved = logits.copy()
        moved[:, -1] += shift
        right = moved.argmax(1) == labels
        lost = before - np.bincount(labels[right & is_old], minlength=lesson.classes)
        loss = float(lost.sum() / parts.sum())
        of_classes = float(np.maximum(0, lost - allowed).sum() / parts.sum())
        beyond = max(0.0, loss - LOSS_ALLOWED, of_classes)
        return _Judged(float(right[~is_old].mean()), loss, shift, beyond)

    every = [judged(float(shift)) for shift in _SHIFTS]
    most = max(one.worth for one in every)
    worthy = [one for one in every if one.worth >= most - 1e-9]
    least = min(one.loss for one in worthy)
    best = [one for one in worthy if one.loss <= least + 1e-9]
    return best[len(best) // 2]


def _head(fitted: Fitted, scale: Scale, lesson: Lesson) -> Head:
    if not fitted.keeps:
        return scale.head(fitted.linear)
    taps, old = lesson.taps.shape[1], lesson.logits.shape[1]
    kept = np.hstack([np.zeros((old, taps)), np.eye(old)])
    row = scale.unscaled(fitted.linear)
    both = Linear(np.vstack([kept, row.weights]), np.concatenate([np.zeros(old), row.bias]))
    return scale.head_of(both)


def scores_of(head: Head, taps: NDArray[np.float32], logits: NDArray[np.float32]) -> Doubles:
    """What the finished graph says, in float64: for many rows at once."""
    even = np.clip((taps - head.mean) / head.spread, -head.clip, head.clip)
    every = np.hstack([even, logits]).astype(np.float64)
    return softmax(every @ head.weights.T.astype(np.float64) + head.bias)
