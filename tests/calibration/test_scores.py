"""Score calibration: recovers a known distortion, keeps the order, and says what it cannot fit."""

import numpy as np
import pytest

from calibration.scores import (
    PlattMap,
    expected_calibration_error,
    fit_platt,
    log_odds,
    reliability,
)
from edge import _core


def distorted(parts: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose log-odds are twice as sure as they should be, and shifted."""
    rng = np.random.default_rng(3)
    true_odds = rng.normal(0, 2, parts)
    truth = rng.random(parts) < 1 / (1 + np.exp(-true_odds))
    return 1 / (1 + np.exp(-(2 * true_odds + 1))), truth


def test_a_known_distortion_is_undone() -> None:
    scores, truth = distorted()
    fit = fit_platt(scores, truth)
    assert fit.gain == pytest.approx(0.5, abs=0.03)
    assert fit.bias == pytest.approx(-0.5, abs=0.06)
    before = expected_calibration_error(reliability(scores, truth))
    after = expected_calibration_error(reliability(fit(scores), truth))
    assert after < before / 4


def test_calibration_keeps_the_order_and_the_native_map_is_the_same() -> None:
    scores = np.linspace(1e-5, 1 - 1e-5, 500).astype(np.float32)
    fit = PlattMap(1.7, -0.4)
    mapped = fit(scores)
    assert (np.diff(mapped) > 0).all()
    native = _core.ScoreMap(gain=fit.gain, bias=fit.bias)
    assert np.allclose([native(float(s)) for s in scores], mapped, rtol=2e-4, atol=1e-6)


def test_perfectly_separated_scores_stay_finite() -> None:
    truth = np.arange(200) < 100
    fit = fit_platt(np.where(truth, 0.999999, 1e-6), truth)
    assert 0 < fit.gain <= 20
    assert np.isfinite(fit.bias)


def test_one_kind_of_part_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="some of both kinds"):
        fit_platt(np.full(5, 0.5), np.ones(5, bool))


def test_log_odds_of_the_extremes_are_finite() -> None:
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize(
    "bad", [{"gain": 0.0}, {"gain": -1.0}, {"gain": float("nan")}, {"bias": float("inf")}]
)
def test_a_map_that_turns_scores_round_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(_core.CoreError, match="gain above 0"):
        _core.ScoreMap(**bad)
