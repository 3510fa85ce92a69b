"""Thresholds for a pair that was just taught, certified on its exam; where that is too small, for what it supports.

The exam is cut in two by parts: one half chooses (Platt maps, candidates), the other tests, by the loop's own routing.
Which escape rate is asked for depends on the number of defective parts alone, never on how they came out.
"""

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.evidence import ScoreFit, fit_scores, quantities, truths
from calibration.thresholds import Counts, Evidence, Mask, Thresholds, Wish, learn, refusal, test
from edge import _core
from edge._core import Verdict
from engines.bounds import trials_needed, upper_bound

_ALL_SPEEDS = 20_000_000


@dataclass(frozen=True)
class PairRoles:
    """Classes of the pair, the taught one last."""

    classes: tuple[str, ...]
    good_class: str
    empty_class: str


@dataclass(frozen=True)
class PairExam:
    """N parts that taught nothing: scores N × classes, truth, and which physical part each shows."""

    roles: PairRoles
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    gate: NDArray[np.float32]
    classifier: NDArray[np.float32] | None
    brightness: NDArray[np.float32]
    """Mean grey level of the frame."""

    def pick(self, which: Mask) -> "PairExam":
        """Some of them."""
        second = None if self.classifier is None else self.classifier[which]
        return replace(
            self,
            labels=self.labels[which],
            groups=self.groups[which],
            gate=self.gate[which],
            classifier=second,
            brightness=self.brightness[which],
        )

    @property
    def sha256(self) -> str:
        """Of truth and scores, in order."""
        digest = hashlib.sha256(np.ascontiguousarray(self.labels).tobytes())
        for scores in (self.gate, self.classifier):
            if scores is not None:
                digest.update(np.ascontiguousarray(scores).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Certification:
    """What may be claimed of the pair, and with which thresholds."""

    asked: float
    """Escape rate."""
    confidence: float
    shown: float | None
    """Escape rate that is certified; None: none is."""
    why: str
    """Where ``shown`` is not ``asked``."""
    without: tuple[str, ...]
    """Defect classes of which no part was among those that tested: nothing is claimed of them."""
    thresholds: Thresholds | None = None
    counts: Counts | None = None
    upper: float = 1.0
    fits: dict[str, ScoreFit] | None = None
    tried: int = 0
    data_sha256: str = ""
    """Of the half that tested."""
    parts: int = 0
    brightness: tuple[float, float] = (0.0, 0.0)
    """Darkest and brightest of it."""

    @property
    def holds(self) -> bool:
        """What was asked is shown, for every class."""
        return self.shown is not None and self.shown <= self.asked and not self.without

    def in_words(self) -> str:
        """For the report."""
        if self.shown is None or self.counts is None:
            return f"not certified: {self.why}"
        text = (
            f"escape rate ≤ {100 * self.shown:.3g} % at {100 * self.confidence:g} % confidence ({self.counts.escapes} "
            f"escapes of {self.counts.defective} defective parts; overkill {self.counts.overkills} of "
            f"{self.counts.good})"
        )
        if self.without:
            text += f"; nothing is claimed of {', '.join(self.without)}: no part of it tested (--exam-share)"
        return text + (f"; asked was {100 * self.asked:g} %: {self.why}" if self.why else "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "holds": self.holds}


def certify(exam: PairExam, wish: Wish, seed: int) -> Certification:
    """Never raises for parts that are too few or engines that are too weak: that is what it says."""
    learning, testing = _halves(exam, seed)
    true = truths(testing.labels, exam.roles)
    defective = int(true["defect"].sum())
    empty = Certification(wish.escape_rate, wish.confidence, None, "", _without(testing))
    if not defective:
        return replace(empty, why=f"no defective part among {len(testing.labels)} that test")
    asked, why = wish, ""
    if defective < trials_needed(wish.escape_rate, wish.confidence):
        why = refusal(defective, wish, 1)
        asked = replace(wish, escape_rate=min(0.999, upper_bound(0, defective, wish.confidence) * 1.0001))
    fits = _fits(learning)
    try:
        found = test(learn(_evidence(learning, fits), asked), lambda t: count(testing, fits, t), asked, 1)
    except CalibrationError as error:
        return replace(empty, why=f"{why}; {error}" if why else str(error))
    return replace(
        empty,
        shown=asked.escape_rate,
        why=why,
        thresholds=found.thresholds,
        counts=found.counts,
        upper=found.upper,
        fits=fits,
        tried=found.tried,
        data_sha256=testing.sha256,
        parts=len(testing.labels),
        brightness=(float(testing.brightness.min()), float(testing.brightness.max())),
    )


def _halves(exam: PairExam, seed: int) -> tuple[PairExam, PairExam]:
    """Whole parts, class by class in turn, so that both have some of each."""
    rng = np.random.default_rng([seed, 33])
    learns = np.zeros(len(exam.labels), bool)
    side: dict[str, bool] = {}
    for label in np.unique(exam.labels):
        turn = bool(rng.random() < 0.5)
        own = exam.labels == label
        for group in rng.permutation(np.unique(exam.groups[own])):
            if str(group) not in side:
                side[str(group)] = turn
                turn = not turn
            learns |= own & (exam.groups == group) & side[str(group)]
    return exam.pick(learns), exam.pick(~learns)


def _without(testing: PairExam) -> tuple[str, ...]:
    roles, there = testing.roles, set(testing.labels.tolist())
    others = (roles.good_class, roles.empty_class)
    return tuple(name for i, name in enumerate(roles.classes) if name not in others and i not in there)


def _fits(learning: PairExam) -> dict[str, ScoreFit]:
    both = {"gate": learning.gate, "classifier": learning.classifier}
    return {
        role: fit_scores(learning.labels, scores, learning.roles)
        for role, scores in both.items()
        if scores is not None
    }


def _evidence(learning: PairExam, fits: dict[str, ScoreFit]) -> Evidence:
    true, raw = truths(learning.labels, learning.roles), quantities(learning.gate, learning.roles)
    second = None
    if learning.classifier is not None:
        second = fits["classifier"].good(quantities(learning.classifier, learning.roles)["good"])
    gate = fits["gate"]
    return Evidence(
        true["defect"],
        true["good"],
        np.ones(len(learning.labels), bool),
        gate.good(raw["good"]),
        gate.defect(raw["defect"]),
        gate.empty(raw["empty"]),
        second,
    )


def count(exam: PairExam, fits: dict[str, ScoreFit], t: Thresholds) -> Counts:
    """By the loop's own routing, with time enough."""
    classes = exam.roles.classes
    router = _core.PartRouter(
        rows=[
            _core.RoutingRow(
                speed_um_per_s=_ALL_SPEEDS,
                gate_good=t.gate_good,
                gate_defect=t.gate_defect,
                gate_empty=t.gate_empty,
                classifier_good=t.classifier_good,
            )
        ],
        roles=_core.ClassRoles(
            good=classes.index(exam.roles.good_class), empty=classes.index(exam.roles.empty_class)
        ),
        gate=_native(fits["gate"]),
        classifier=_native(fits["classifier"]) if "classifier" in fits else _core.ScoreCalibration(),
    )
    parts = len(exam.labels)
    said = router.route(
        exam.gate,
        exam.classifier,
        None,
        speeds_um_per_s=np.zeros(parts, np.int64),
        looks_in_time=np.ones(parts, np.uint8),
    )
    true, rejected = truths(exam.labels, exam.roles), said["verdict"] == Verdict.REJECT
    return Counts(
        int(true["defect"].sum()),
        int((true["defect"] & ~rejected).sum()),
        int(true["good"].sum()),
        int((true["good"] & rejected).sum()),
    )


def _native(fit: ScoreFit) -> _core.ScoreCalibration:
    maps = (fit.good, fit.defect, fit.empty)
    good, defect, empty = (_core.ScoreMap(gain=m.gain, bias=m.bias) for m in maps)
    return _core.ScoreCalibration(good=good, defect=defect, empty=empty)
