"""Ways to fit a head that knows one more class: one row beside the old scores, or a new head for all classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.discriminant import RIDGES, SHRINKS, Doubles, Ints, Linear, Moments, minimise, refine

REFIT_PARTS = 1000
"""Old parts that must be replayed for all scores to be fitted anew."""
_KEEP_RIDGES = (1e-3, 1e-2, 3e-2)


@dataclass(frozen=True)
class Lesson:
    """Rows to learn from. ``original``: -1 for a picture itself, else the row that this one is an altered copy of."""

    taps: NDArray[np.float32]
    logits: NDArray[np.float32]
    """(n, old classes), of the head that is there."""
    labels: Ints
    """The new class is the last number."""
    groups: NDArray[np.str_]
    original: Ints
    classes: int
    """With the new one."""


@dataclass(frozen=True)
class Way:
    """How to fit: ``keep`` with a ridge, or ``refit`` with a shrinkage and a ridge."""

    kind: str
    shrink: float
    ridge: float

    def __str__(self) -> str:
        return f"{self.kind} (shrinkage {self.shrink:g}, ridge {self.ridge:g})"


def ways_for(lesson: Lesson) -> list[Way]:
    """All that can be tried. Old scores are kept where a class has no part to replay, or all have few: a head that is
    fitted anew to 500 parts was as good as the old one on these, and 5 points worse on others."""
    keep = [Way("keep", SHRINKS[1], ridge) for ridge in _KEEP_RIDGES]
    counts = np.bincount(lesson.labels[lesson.original < 0], minlength=lesson.classes)
    if not counts.all() or counts[:-1].sum() < REFIT_PARTS:
        return keep
    return keep + [Way("refit", shrink, ridge) for shrink in SHRINKS for ridge in RIDGES]


@dataclass(frozen=True)
class Fitted:
    """A head on evened taps and old logits."""

    linear: Linear
    """On (taps, even logits); of ``keep`` one row."""
    keeps: bool

    def logits(self, x: Doubles, old: NDArray[np.float32]) -> Doubles:
        """(n, classes), the new one last; ``old`` (n, old classes) are the logits of the head that is there."""
        own = self.linear(x)
        return np.hstack([old, own]) if self.keeps else own

    def seen_through(self, basis: Doubles) -> "Fitted":
        """The same, on what ``basis`` was applied to."""
        return Fitted(Linear(self.linear.weights @ basis.T, self.linear.bias), self.keeps)

    def shifted(self, shift: float) -> "Fitted":
        """With ``shift`` on the bias of the new class."""
        bias = self.linear.bias.copy()
        bias[-1] += shift
        return Fitted(Linear(self.linear.weights, bias), self.keeps)


def fit(x: Doubles, lesson: Lesson, inside: NDArray[np.bool_], ways: Sequence[Way]) -> dict[Way, Fitted]:
    """Each of the ways on the rows ``inside``; without ``refit`` where a class has none there."""
    own, labels = x[inside], lesson.labels[inside]
    classes = lesson.classes
    moments = Moments.of(own, labels, classes) if _all_there(labels, classes) else None
    fitted: dict[Way, Fitted] = {}
    for shrink in sorted({way.shrink for way in ways if way.kind == "refit"}):
        if moments is None:
            continue
        start = moments.discriminant(shrink)
        for way in ways:
            if way.kind == "refit" and way.shrink == shrink:
                fitted[way] = Fitted(refine(start, own, labels, way.ridge), False)
    keep = [way for way in ways if way.kind == "keep"]
    if keep:
        whiten = _whitener(own, labels, classes, keep[0].shrink)
        for way in keep:
            fitted[way] = Fitted(_added_row(own, lesson.logits[inside], labels, whiten, way.ridge), True)
    return fitted


def _all_there(labels: Ints, classes: int) -> bool:
    return bool((np.bincount(labels, minlength=classes) > 0).all())


def _whitener(x: Doubles, labels: Ints, classes: int, shrink: float) -> Doubles:
    """(d, d): rows · whitener scatter evenly within classes."""
    rest = x.copy()
    for label in range(classes):
        if (labels == label).any():
            rest[labels == label] -= x[labels == label].mean(0)
    scatter = rest.T @ rest / len(x)
    size = len(scatter)
    scatter = (1 - shrink) * scatter + shrink * float(np.trace(scatter)) / size * np.eye(size)
    values, vectors = np.linalg.eigh(scatter)
    return np.asarray(vectors / np.sqrt(np.maximum(values, 1e-9)), np.float64)


def _added_row(x: Doubles, old: NDArray[np.float32], labels: Ints, whiten: Doubles, ridge: float) -> Linear:
    """One more row beside fixed old scores: is it the new class, or whatever the old head says?"""
    new = labels == old.shape[1]
    even = (x @ whiten) / 3.0
    weight = np.where(new, 0.5 / max(1, int(new.sum())), 0.5 / max(1, int((~new).sum())))
    # log of the sum of the old classes' exponentials: what the new row must beat
    top = old.max(1)
    others = top + np.log(np.exp(old - top[:, None]).sum(1))

    def loss(v: Doubles) -> tuple[float, Doubles]:
        margin = np.clip(even @ v[:-1] + v[-1] - others, -60, 60)
        p = 1 / (1 + np.exp(-margin))
        value = float(weight @ np.logaddexp(0, np.where(new, -margin, margin)))
        slope = weight * (p - new)
        gradient = np.concatenate([slope @ even + ridge * v[:-1], [slope.sum()]])
        return value + ridge / 2 * float((v[:-1] ** 2).sum()), gradient

    v = minimise(loss, np.zeros(x.shape[1] + 1), steps=120)
    return Linear((whiten @ v[:-1] / 3.0)[None], v[-1:])
