"""Learn, then test: thresholds whose escape rate is bounded by an exact test on parts that chose nothing.

Angelopoulos et al., Learn then Test (2021), with fixed-sequence testing: the learning parts order candidates from
the safest on; the certification parts test them in that order, each at the full level, and the first that fails ends
it. The order was fixed before, so trying many costs no confidence. Only separate sequences (a table with two ways to
decide) share it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from engines.bounds import p_value, trials_needed, upper_bound

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MARGINS = (8.0, 5.0, 3.0, 2.0, 1.5, 1.0, 0.7, 0.5, 0.3, 0.15)
"""Log-odds above the thresholds at which no learning part escapes: where the sequence begins."""
_GRID = np.arange(-4.0, 14.01, 0.1)
"""Log-odds of candidate thresholds."""
_STEP = 0.25
"""Log-odds by which a threshold goes down at most from one candidate to the next."""
_NEVER = 1.0
"""As a threshold: no score of a float32 sigmoid with clipped log-odds reaches it."""


@dataclass(frozen=True)
class Evidence:
    """Calibrated probabilities of N parts, as the routing compares them."""

    defective: Mask
    good: Mask
    judged: Mask
    """False: the exposure guard rejects the part before any engine sees it."""
    gate_good: Floats
    gate_defect: Floats
    gate_empty: Floats
    classifier_good: Floats | None
    """With the second look already in it; None: the gate decides alone."""


@dataclass(frozen=True)
class Thresholds:
    """One candidate: probabilities."""

    gate_good: float
    gate_defect: float
    gate_empty: float
    classifier_good: float


@dataclass(frozen=True)
class Wish:
    """What the thresholds are for: the escape rate is proven, the others are sought on the learning parts."""

    escape_rate: float = 0.001
    confidence: float = 0.95
    overkill: float = 0.02
    gate_share: float = 0.9
    gate_overkill: float = 0.002
    """Good parts that the gate may reject alone."""

    def level(self, tests: int) -> float:
        """Confidence of each of ``tests`` sequences, so that all of them together have ``confidence`` (Bonferroni)."""
        return 1 - (1 - self.confidence) / tests


@dataclass(frozen=True)
class Counts:
    """What thresholds did on parts of known truth."""

    defective: int
    escapes: int
    good: int
    overkills: int


@dataclass(frozen=True)
class Certified:
    """The last candidate of a sequence that passed its test."""

    thresholds: Thresholds
    counts: Counts
    upper: float
    """Clopper-Pearson at the level of the sequence."""
    tried: int


def odds(p: float) -> float:
    """Log-odds of a threshold; 1 is beyond every score."""
    return float("inf") if p >= 1 else float(np.log(p / (1 - p)))


def probability(log_odds: float) -> float:
    """A threshold, rounded up to what YAML shows."""
    return min(_NEVER, float(np.ceil(1e7 / (1 + np.exp(-log_odds))) / 1e7))


def learn(evidence: Evidence, wish: Wish) -> list[Thresholds]:
    """Candidates, the safest first. Raises CalibrationError without defective or without good parts."""
    if not evidence.defective.any() or not evidence.good.any():
        raise CalibrationError(
            f"{int(evidence.defective.sum())} defective and {int(evidence.good.sum())} good learning parts: "
            "expected some of both"
        )
    defect = _gate_defect(evidence, wish)
    empty = _gate_empty(evidence)
    table = _Table.of(evidence, defect, empty)
    allowed = sorted({int(x) for x in np.geomspace(1, 1 + 4 * wish.escape_rate * table.defective, 40)} - {0})
    path: list[Thresholds] = []
    strict = table.best(0, wish)
    for margin in _MARGINS:
        gate, classifier = (t if t == _NEVER else probability(min(odds(t) + margin, 16.0)) for t in strict)
        path.append(Thresholds(gate, defect, empty, classifier))
    for escapes in (0, *allowed):
        path.append(_thresholds(table.best(escapes, wish), defect, empty))
    return _until_granted(list(dict.fromkeys(_in_small_steps(path))), evidence, wish)


def _until_granted(path: Sequence[Thresholds], e: Evidence, wish: Wish) -> list[Thresholds]:
    """Up to the first, which is the safest, that grants both wishes on the learning parts; all where none does."""
    for count, t in enumerate(path, 1):
        open_ = e.judged & (e.gate_defect < t.gate_defect)
        by_gate = open_ & (e.gate_good >= t.gate_good)
        asked = open_ & ~by_gate & (e.gate_empty < t.gate_empty)
        passed = (
            by_gate
            if e.classifier_good is None
            else by_gate | asked & (e.classifier_good >= t.classifier_good)
        )
        share = 1.0 if e.classifier_good is None else 1 - asked.mean()
        if 1 - passed[e.good].mean() <= wish.overkill and share >= wish.gate_share:
            return list(path[:count])
    return list(path)


def _in_small_steps(path: Sequence[Thresholds]) -> list[Thresholds]:
    """Candidates between those of the learning parts, which may lie far apart: where engines are sure of nearly every
    part, one escape more lets the limits fall by many log-odds, and the test would fail at the far end of that."""
    fine = [path[0]]
    for before, after in pairwise(path):
        pairs = ((before.gate_good, after.gate_good), (before.classifier_good, after.classifier_good))
        moved = [pair for pair in pairs if pair[0] != pair[1]]  # of the gate alone one limit stays at "never"
        if not any(_NEVER in pair for pair in moved):
            far = max((abs(odds(last) - odds(first)) for first, last in moved), default=0.0)
            for share in np.linspace(0, 1, max(1, int(np.ceil(far / _STEP))) + 1)[1:-1]:
                gate, classifier = (_between(pair, float(share)) for pair in pairs)
                fine.append(replace(after, gate_good=gate, classifier_good=classifier))
        fine.append(after)
    return fine


def _between(pair: tuple[float, float], share: float) -> float:
    first, last = pair
    return first if first == last else probability(odds(first) + share * (odds(last) - odds(first)))


def _thresholds(pair: tuple[float, float], defect: float, empty: float) -> Thresholds:
    return Thresholds(pair[0], defect, empty, pair[1])


def test(
    path: Sequence[Thresholds], count: Callable[[Thresholds], Counts], wish: Wish, tests: int
) -> Certified:
    """The last of the sequence whose hypothesis "more escape than that" is rejected at (1 - confidence) / tests.

    Raises CalibrationError with fewer defective parts than the claim needs, offering the level that they support.
    """
    level = wish.level(tests)
    needed = trials_needed(wish.escape_rate, level)
    best: Certified | None = None
    for tried, thresholds in enumerate(path, 1):
        counts = count(thresholds)
        if counts.defective < needed:
            raise CalibrationError(refusal(counts.defective, wish, tests))
        if p_value(counts.escapes, counts.defective, wish.escape_rate) > 1 - level:
            break
        upper = upper_bound(counts.escapes, counts.defective, level)
        best = Certified(thresholds, counts, upper, tried)
    if best is None:
        counts = count(path[0])
        raise CalibrationError(
            f"even the safest thresholds let {counts.escapes} of {counts.defective} defective parts pass (upper bound "
            f"{100 * upper_bound(counts.escapes, counts.defective, level):.3f} %); expected at most "
            f"{100 * wish.escape_rate:g} %: train the engines further, or ask for a higher --escape-rate"
        )
    return replace(best, tried=min(len(path), best.tried + 1))


def refusal(defective: int, wish: Wish, tests: int) -> str:
    """Why so few defective parts cannot carry the claim, and which one they could."""
    level = wish.level(tests)
    needed = trials_needed(wish.escape_rate, level)
    supported = upper_bound(0, defective, level)
    sequences = f" ({tests} ways to decide share it)" if tests > 1 else ""
    return (
        f"{defective} defective parts cannot show an escape rate of at most {100 * wish.escape_rate:g} % at "
        f"{100 * wish.confidence:g} % confidence{sequences}: at least {needed} without a single escape are needed. "
        f"Bring {needed - defective} more, or ask for what these support: --escape-rate {supported * 1.0001:.6f}"
    )


def _gate_defect(evidence: Evidence, wish: Wish) -> float:
    """The lowest limit at which the gate alone rejects no more good parts than it may."""
    scores = np.sort(evidence.gate_defect[evidence.good & evidence.judged])[::-1]
    allowed = int(wish.gate_overkill * len(scores))
    score = float(scores[allowed]) if allowed < len(scores) else 0.0
    return probability(max(odds(min(max(score, 1e-6), 1 - 1e-6)) + 0.05, 0.0))


def _gate_empty(evidence: Evidence) -> float:
    """Clearly above what any part, good or bad, has shown."""
    parts = evidence.judged & (evidence.defective | evidence.good)
    highest = float(evidence.gate_empty[parts].max()) if parts.any() else 0.5
    return min(0.999, probability(max(odds(min(max(highest, 1e-6), 1 - 1e-6)) + 1.0, 0.0)))


@dataclass(frozen=True)
class _Table:
    """Counts of passes for every pair of (gate, classifier) thresholds on the grid."""

    defective: int
    good: int
    parts: int
    escapes: NDArray[np.int64]
    passes: NDArray[np.int64]
    """Of good parts."""
    escalated: NDArray[np.int64]
    """By gate threshold."""

    @classmethod
    def of(cls, e: Evidence, defect: float, empty: float) -> "_Table":
        """Counts by cumulated histograms."""
        open_ = e.judged & (e.gate_defect < defect)
        gate = _index(e.gate_good)
        alone = e.classifier_good is None
        second = np.zeros_like(gate) if e.classifier_good is None else _index(e.classifier_good)
        waits = open_ & (e.gate_empty < empty)

        def passed(kind: Mask) -> NDArray[np.int64]:
            by_gate = _at_least(np.bincount(gate[kind & open_], minlength=len(_GRID) + 1))
            if alone:
                return by_gate[:, None]
            cells = np.zeros((len(_GRID) + 1, len(_GRID) + 1), np.int64)
            np.add.at(cells, (gate[kind & waits], second[kind & waits]), 1)
            below = np.cumsum(cells, 0) - cells  # gate threshold not reached: index below it
            rest = np.cumsum(below[:, ::-1], 1)[:, ::-1]
            return by_gate[:, None] + rest[:, 1:]

        total = _at_least(np.bincount(gate[waits], minlength=len(_GRID) + 1))
        return cls(
            int(e.defective.sum()),
            int(e.good.sum()),
            len(gate),
            passed(e.defective)[1:],
            passed(e.good)[1:],
            int(waits.sum()) - total[1:],
        )

    def best(self, escapes: int, wish: Wish) -> tuple[float, float]:
        """(gate, classifier) thresholds with at most so many escapes: wishes for overkill and gate share first,
        then the least overkill."""
        allowed = self.escapes <= escapes
        if not allowed.any():
            return _NEVER, _NEVER
        overkill = 1 - self.passes / max(1, self.good)
        alone = self.passes.shape[1] == 1
        share = np.broadcast_to(1.0 if alone else 1 - self.escalated[:, None] / self.parts, overkill.shape)
        modest = allowed & (overkill <= wish.overkill)
        both = modest & (share >= wish.gate_share)
        if both.any() or not modest.any():
            where = both if both.any() else allowed
            cost = np.where(where, overkill - 1e-3 * share, np.inf)
        else:
            cost = np.where(modest, -share + 1e-3 * overkill, np.inf)
        i, j = np.unravel_index(int(np.argmin(cost)), cost.shape)
        return probability(float(_GRID[i])), _NEVER if alone else probability(float(_GRID[j]))


def _index(scores: Floats) -> NDArray[np.int64]:
    """How many thresholds of the grid a score reaches."""
    return np.searchsorted(1 / (1 + np.exp(-_GRID)), scores, side="right").astype(np.int64)


def _at_least(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Parts that reach at least threshold ``i - 1``; [0] is all of them."""
    return np.asarray(np.cumsum(counts[::-1])[::-1], np.int64)
