"""From scores to probabilities: Platt scaling of log-odds, fitted by Newton's method, and how reliable it is.

Platt, Probabilistic outputs for support vector machines (1999), with his smoothed targets; with one shared gain and
no bias it would be temperature scaling (Guo et al., ICML 2017).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LEAST = 1e-6
_PRIOR = 1e-3
"""Pull towards gain 1, bias 0, per part: a class that is perfectly separated has no finite optimum."""
_GAINS = (0.05, 20.0)


@dataclass(frozen=True)
class PlattMap:
    """log-odds' = gain × log-odds + bias."""

    gain: float = 1.0
    bias: float = 0.0

    def __call__(self, scores: NDArray[np.floating]) -> Floats:
        """Probabilities; as edge/core/routing.hpp does it."""
        if self.gain == 1.0 and self.bias == 0.0:
            return np.asarray(scores, np.float64)
        return np.asarray(1 / (1 + np.exp(-(self.gain * log_odds(scores) + self.bias))), np.float64)


@dataclass(frozen=True)
class ReliabilityBin:
    """Parts whose probability falls between two limits."""

    low: float
    high: float
    parts: int
    said: float
    """Mean probability."""
    true: float
    """Share for which it was so."""


def log_odds(scores: NDArray[np.floating]) -> Floats:
    """Clipped to what a float32 near 1 can tell."""
    p = np.clip(np.asarray(scores, np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(p / (1 - p)), np.float64)


def fit_platt(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> PlattMap:
    """Maximum likelihood with a weak prior; raises ValueError without both kinds of parts."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        raise ValueError(f"{positive} of {len(truth)} parts are of the class: expected some of both kinds")
    x = log_odds(scores)
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))
    gain, bias = 1.0, 0.0
    loss = _loss(x, target, gain, bias)
    for _ in range(50):
        p = 1 / (1 + np.exp(-(gain * x + bias)))
        weight = np.maximum(p * (1 - p), 1e-12)
        gradient = np.array(
            [np.mean((p - target) * x) + _PRIOR * (gain - 1), np.mean(p - target) + _PRIOR * bias]
        )
        cross = float(np.mean(weight * x))
        hessian = np.array(
            [[np.mean(weight * x * x) + _PRIOR, cross], [cross, np.mean(weight) + _PRIOR]], np.float64
        )
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while scale > 1e-6:  # never uphill
            candidate = float(np.clip(gain - scale * step[0], *_GAINS)), float(bias - scale * step[1])
            if (new := _loss(x, target, *candidate)) <= loss:
                break
            scale /= 2
        else:
            break
        done = loss - new < 1e-10
        (gain, bias), loss = candidate, new
        if done:
            break
    return PlattMap(round(gain, 6), round(bias, 6))


def _loss(x: Floats, target: Floats, gain: float, bias: float) -> float:
    z = gain * x + bias
    likelihood = np.logaddexp(0, z) - target * z
    return float(np.mean(likelihood)) + _PRIOR / 2 * ((gain - 1) ** 2 + bias**2)


def reliability(
    probabilities: NDArray[np.floating], truth: NDArray[np.bool_], bins: int = 10
) -> list[ReliabilityBin]:
    """Equal widths; empty bins are left out."""
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.digitize(probabilities, edges) - 1, 0, bins - 1)
    return [
        ReliabilityBin(
            float(edges[i]),
            float(edges[i + 1]),
            int(here.sum()),
            float(np.mean(probabilities[here])),
            float(truth[here].mean()),
        )
        for i in range(bins)
        if (here := index == i).any()
    ]


def expected_calibration_error(bins: list[ReliabilityBin]) -> float:
    """Mean distance between said and true, weighted by parts."""
    total = sum(b.parts for b in bins)
    return sum(b.parts * abs(b.said - b.true) for b in bins) / total
