"""From boxes to one score per class of the engine, as the native decoder does it, and how the map is fitted.

Let ``q`` be the mapped best score of each class of boxes: ``q = sigmoid(gain · logit(best) + bias)``. Then

- ``any = 1 − Π(1 − q_defect)``: some defect is there,
- score of defect c = ``any · q_c / Σ q_defect``,
- score of the good class = ``q_part · (1 − any)``: a part is there and nothing on it,
- score of the empty class = ``(1 − q_part) · (1 − any)``.

They add up to 1. A defect without a part counts as a defect: in doubt it is rejected.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_EDGE = 1e-6


@dataclass(frozen=True)
class Evidence:
    """Gain and bias per class of boxes, part first."""

    gain: tuple[float, ...]
    bias: tuple[float, ...]

    def scores(self, best: NDArray[np.float32]) -> NDArray[np.float32]:
        """Best score per class of boxes N×(1 + defects), part first → N×(empty, good, defects…)."""
        q = _sigmoid(np.asarray(self.gain) * _logit(best) + np.asarray(self.bias))
        clean = np.prod(1 - q[:, 1:], 1, keepdims=True)
        defects = (1 - clean) * q[:, 1:] / np.maximum(q[:, 1:].sum(1, keepdims=True), 1e-12)
        return np.concatenate(((1 - q[:, :1]) * clean, q[:, :1] * clean, defects), 1).astype(np.float32)


def neutral(classes: int) -> Evidence:
    """No map: best scores as they are."""
    return Evidence((1.0,) * classes, (0.0,) * classes)


def fit(best: NDArray[np.float32], present: NDArray[np.bool_]) -> Evidence:
    """Logistic regression per class of "is in the picture" on the logit of its best score; both N×C.

    Newton's method with a slight ridge, so that classes that separate perfectly stay finite.
    """
    gains, biases = [], []
    for x, y in zip(_logit(best).T, present.T, strict=True):
        design = np.stack((x, np.ones_like(x)), 1)
        weights = np.array([1.0, 0.0])
        ridge = np.diag([1e-2, 1e-3])
        for _ in range(50):
            p = _sigmoid(design @ weights)
            slope = design.T @ (p - y) + ridge @ (weights - (1.0, 0.0))
            curve = (design * (p * (1 - p))[:, None]).T @ design + ridge
            step = np.linalg.solve(curve, slope)
            weights = weights - np.clip(step, -1, 1)
            if np.abs(step).max() < 1e-6:
                break
        gains.append(round(float(max(0.05, weights[0])), 4))
        biases.append(round(float(weights[1]), 4))
    return Evidence(tuple(gains), tuple(biases))


def _logit(p: NDArray[np.float32]) -> Floats:
    clipped = np.clip(p.astype(np.float64), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
