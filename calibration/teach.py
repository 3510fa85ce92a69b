"""Teaches a head one more class, with the old ones replayed, and chooses how by cross-validation over parts.

Two ways compete. ``keep``: the old scores stay what they are and one row is added, so that an old part can only be
lost to the new class. ``refit``: a new head for all classes. Whatever wins, the bias of the new class is the largest
that loses no more old parts than allowed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.discriminant import (
    RIDGES,
    SHRINKS,
    Doubles,
    Ints,
    Linear,
    Moments,
    minimise,
    refine,
    softmax,
)
from calibration.errors import CalibrationError
from calibration.scaling import Scale, principal
from calibration.taps import Head

FOLDS = 4
LOSS_ALLOWED = 0.003
"""Share of old parts that cross-validation may lose."""
_KEEP_RIDGES = (1e-3, 1e-2, 3e-2)
_PRICE = 100.0
"""A point of old parts beyond what is allowed is worth so many points of the new class."""
_SHIFTS = np.arange(-8.0, 4.01, 0.25)
Say = Callable[[str, float], None]


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
    ways = _ways(lesson)
    held = {way: np.zeros((len(x), lesson.classes)) for way in ways}
    for fold in range(FOLDS):
        inside, outside = folds != fold, folds == fold
        for way, fitted in _fit(x, lesson, inside, ways).items():
            held[way][outside] = fitted.logits(x[outside], lesson.logits[outside])
        say("cross-validation", (fold + 1) / (FOLDS + 1))
    rows = lesson.original < 0
    judged = {way: _judge(logits[rows], lesson, rows) for way, logits in held.items()}
    way = max(judged, key=lambda w: judged[w].worth)
    final = _fit(x, lesson, np.ones(len(x), bool), [way])[way]
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


def _ways(lesson: Lesson) -> list[Way]:
    keep = [Way("keep", SHRINKS[1], ridge) for ridge in _KEEP_RIDGES]
    present = np.bincount(lesson.labels, minlength=lesson.classes) > 0
    if not present.all():
        return keep
    return keep + [Way("refit", shrink, ridge) for shrink in SHRINKS for ridge in RIDGES]


@dataclass(frozen=True)
class _Fitted:
    linear: Linear
    """On (taps, even logits); of ``keep`` one row."""
    keeps: bool

    def logits(self, x: Doubles, old: NDArray[np.float32]) -> Doubles:
        own = self.linear(x)
        return np.hstack([old, own]) if self.keeps else own

    def seen_through(self, basis: Doubles) -> "_Fitted":
        """The same, on what ``basis`` was applied to."""
        return _Fitted(Linear(self.linear.weights @ basis.T, self.linear.bias), self.keeps)

    def shifted(self, shift: float) -> "_Fitted":
        bias = self.linear.bias.copy()
        bias[-1] += shift
        return _Fitted(Linear(self.linear.weights, bias), self.keeps)


def _fit(x: Doubles, lesson: Lesson, inside: NDArray[np.bool_], ways: Sequence[Way]) -> dict[Way, _Fitted]:
    own, labels = x[inside], lesson.labels[inside]
    classes = lesson.classes
    moments = Moments.of(own, labels, classes) if _all_there(labels, classes) else None
    fitted: dict[Way, _Fitted] = {}
    for shrink in sorted({way.shrink for way in ways if way.kind == "refit"}):
        if moments is None:
            continue
        start = moments.discriminant(shrink)
        for way in ways:
            if way.kind == "refit" and way.shrink == shrink:
                fitted[way] = _Fitted(refine(start, own, labels, way.ridge), False)
    keep = [way for way in ways if way.kind == "keep"]
    if keep:
        whiten = _whitener(own, labels, classes, keep[0].shrink)
        for way in keep:
            fitted[way] = _Fitted(_added_row(own, lesson.logits[inside], labels, whiten, way.ridge), True)
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


@dataclass(frozen=True)
class _Judged:
    recall: float
    loss: float
    shift: float

    @property
    def worth(self) -> float:
        return self.recall - _PRICE * max(0.0, self.loss - LOSS_ALLOWED)


def _judge(logits: Doubles, lesson: Lesson, rows: NDArray[np.bool_]) -> _Judged:
    """The shift of the new class's bias that is worth most."""
    labels, old = lesson.labels[rows], lesson.logits[rows]
    is_old = labels < lesson.classes - 1
    before = float((old[is_old].argmax(1) == labels[is_old]).mean())
    best: _Judged | None = None
    for shift in _SHIFTS:
        moved = logits.copy()
        moved[:, -1] += shift
        right = moved.argmax(1) == labels
        judged = _Judged(float(right[~is_old].mean()), before - float(right[is_old].mean()), float(shift))
        if best is None or judged.worth > best.worth + 1e-9:
            best = judged
    assert best is not None
    return best


def _head(fitted: _Fitted, scale: Scale, lesson: Lesson) -> Head:
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
