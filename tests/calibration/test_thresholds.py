"""Learn then test: the claim holds as often as it says, and is refused where the data cannot carry it."""

from itertools import pairwise

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.thresholds import Counts, Evidence, Thresholds, Wish, learn, odds, test
from engines.bounds import p_value, upper_bound

certify = test  # its name begins like a test's
del test


def evidence(parts: int, seed: int, classifier: bool = True) -> Evidence:
    """A gate and a better classifier, each with normal log-odds."""
    rng = np.random.default_rng(seed)
    defective = rng.random(parts) < 0.6
    sign = np.where(defective, -1, 1)

    def p(shift: float, noise: float) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-(sign * shift + rng.normal(0, noise, parts)))))

    gate = p(5, 2.0)
    return Evidence(
        defective,
        ~defective,
        np.ones(parts, bool),
        gate,
        1 - gate,
        np.zeros(parts),
        p(7, 2.0) if classifier else None,
    )


def counts(e: Evidence, t: Thresholds) -> Counts:
    """The routing, written down once more."""
    rejected = e.gate_defect >= t.gate_defect
    passed = ~rejected & (e.gate_good >= t.gate_good)
    if e.classifier_good is not None:
        passed |= ~rejected & ~passed & (e.classifier_good >= t.classifier_good)
    return Counts(
        int(e.defective.sum()),
        int((e.defective & passed).sum()),
        int(e.good.sum()),
        int((e.good & ~passed).sum()),
    )


def test_a_sequence_begins_safe_and_the_certified_bound_recomputes() -> None:
    wish = Wish(escape_rate=0.01)
    path = learn(evidence(8000, 1), wish)
    fresh = evidence(8000, 2)
    escapes = [counts(fresh, t).escapes for t in path]
    assert escapes[0] <= escapes[-1]
    certified = certify(path, lambda t: counts(fresh, t), wish, 1)
    c = certified.counts
    assert certified.upper == upper_bound(c.escapes, c.defective) <= 0.01
    assert p_value(c.escapes, c.defective, 0.01) <= 0.05
    assert c.overkills / c.good < 0.05


@pytest.mark.parametrize("classifier", [True, False])
def test_limits_fall_in_steps_so_small_that_a_test_does_not_fail_at_the_far_end_of_one(
    classifier: bool,
) -> None:
    path = learn(evidence(8000, 1, classifier), Wish(escape_rate=0.01, overkill=0.0))
    assert len(path) > 20
    for before, after in pairwise(path):
        for first, last in (
            (before.gate_good, after.gate_good),
            (before.classifier_good, after.classifier_good),
        ):
            assert first == last or abs(odds(first) - odds(last)) <= 0.26  # 0.25 and seven digits


@pytest.mark.parametrize("classifier", [True, False])
def test_the_claim_fails_no_oftener_than_it_says(classifier: bool) -> None:
    wish = Wish(escape_rate=0.02, overkill=0.0)  # never granted: the sequence goes on until a test fails
    path = learn(evidence(2000, 100, classifier), wish)
    truth = evidence(400_000, 99, classifier)
    true_rate = {t: (c := counts(truth, t)).escapes / c.defective for t in path}
    broken = 0
    for seed in range(200):
        fresh = evidence(1500, seed, classifier)
        chosen = certify(path, lambda t, fresh=fresh: counts(fresh, t), wish, 1).thresholds
        broken += true_rate[chosen] > wish.escape_rate
    # 5 % of 200 are 10; more than 20 has a probability below 0.1 %.
    assert broken <= 20


def test_no_threshold_falls_far_from_one_candidate_to_the_next() -> None:
    """Else a test that fails costs all that lay between."""
    path = [t for t in learn(evidence(3000, 5), Wish(0.01, overkill=0.0)) if t.gate_good < 1]
    for name in ("gate_good", "classifier_good"):
        falls = -np.diff([odds(getattr(t, name)) for t in path])
        assert len(falls) > 30 and falls.max() <= 0.26  # probabilities are rounded up


def test_the_sequence_ends_with_the_safest_candidate_that_grants_the_wishes() -> None:
    e, hard = evidence(3000, 5), Wish(0.01, overkill=0.0)
    wish = Wish(0.01, overkill=0.1, gate_share=0.7)
    path, whole = learn(e, wish), learn(e, hard)

    def granted(t: Thresholds) -> bool:
        c = counts(e, t)
        by_gate = (e.gate_defect >= t.gate_defect) | (e.gate_good >= t.gate_good)
        return c.overkills / c.good <= wish.overkill and by_gate.mean() >= wish.gate_share

    assert [granted(t) for t in path] == [False] * (len(path) - 1) + [True]
    assert len(path) < len(whole)


def test_learned_counts_agree_with_the_routing() -> None:
    e = evidence(3000, 5)
    wish = Wish(escape_rate=0.01)
    for t in learn(e, wish)[-5:]:
        c = counts(e, t)
        assert c.escapes <= 1 + 4 * wish.escape_rate * c.defective


def test_too_few_defective_parts_are_refused_with_the_level_that_they_support() -> None:
    few = Counts(2000, 0, 1000, 0)
    path = [Thresholds(0.9, 0.9, 0.9, 0.9)]
    with pytest.raises(CalibrationError, match=r"at least 2995 .* Bring 995 more, .*--escape-rate 0\.00149"):
        certify(path, lambda t: few, Wish(), 1)
    with pytest.raises(CalibrationError, match=r"2 ways to decide share it.*at least 3688"):
        certify(path, lambda t: few, Wish(), 2)
    assert certify(path, lambda t: Counts(2995, 0, 1, 0), Wish(), 1).upper <= 0.001


def test_engines_that_do_not_keep_the_claim_are_told_so() -> None:
    path = [Thresholds(0.9, 0.9, 0.9, 0.9)]
    with pytest.raises(CalibrationError, match="even the safest thresholds let 30 of 5000"):
        certify(path, lambda t: Counts(5000, 30, 100, 0), Wish(), 1)


def test_learning_needs_both_kinds_of_parts() -> None:
    e = evidence(50, 1)
    with pytest.raises(CalibrationError, match="some of both"):
        learn(
            Evidence(e.defective & False, e.good, e.judged, e.gate_good, e.gate_defect, e.gate_empty, None),
            Wish(),
        )
