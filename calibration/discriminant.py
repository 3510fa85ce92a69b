"""A linear head from few pictures: class means in a shrunk common covariance, then logistic regression from there.

Pictures of a new kind are too few to say how features scatter; those of the old classes and the altered copies of the
new ones say it together. Discriminant: Fisher 1936 with the shrinkage of Friedman, JASA 84 (1989). Refinement:
class-weighted multinomial logistic regression whose ridge pulls towards the discriminant, by L-BFGS (Liu & Nocedal,
Math. Programming 45, 1989).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
SHRINKS = (0.01, 0.05, 0.2)
RIDGES = (np.inf, 3e-2)
"""inf: the discriminant as it is."""
_MEMORY = 10


@dataclass(frozen=True)
class Linear:
    """logits = x · weightsᵀ + bias."""

    weights: Doubles
    bias: Doubles

    def __call__(self, x: Doubles) -> Doubles:
        """(n, classes)."""
        return np.asarray(x @ self.weights.T + self.bias, np.float64)


@dataclass(frozen=True)
class Moments:
    """Class means (classes, d) and the common scatter within classes (d, d)."""

    means: Doubles
    scatter: Doubles

    @staticmethod
    def of(x: Doubles, labels: Ints, classes: int) -> "Moments":
        """Every class needs at least one row."""
        means = np.stack([x[labels == label].mean(0) for label in range(classes)])
        rest = x - means[labels]
        return Moments(means, rest.T @ rest / len(x))

    def discriminant(self, shrink: float) -> Linear:
        """Equal priors: a class is not rarer because few pictures of it are there."""
        size = len(self.scatter)
        even = max(float(np.trace(self.scatter)) / size, 1e-9)
        covariance = (1 - shrink) * self.scatter + shrink * even * np.eye(size)
        weights = np.linalg.solve(covariance, self.means.T).T
        return Linear(weights, -0.5 * (weights * self.means).sum(1))


def refine(start: Linear, x: Doubles, labels: Ints, ridge: float) -> Linear:
    """Logistic regression, every class of equal weight, pulled towards ``start`` by ``ridge``.

    With an infinite ridge ``start``, scaled so that its probabilities fit the rows best (temperature).
    """
    classes = len(start.bias)
    counts = np.bincount(labels, minlength=classes)
    weight = 1.0 / np.maximum(counts, 1)[labels]
    weight /= weight.sum()
    start = _tempered(start, x, labels, weight)
    if np.isinf(ridge):
        return start
    # Preconditioned by the size of the start's weights, so that ridge has no unit.
    scale = max(float(np.abs(start.weights).std()), 1e-9)
    truth = np.eye(classes)[labels]

    def loss(v: Doubles) -> tuple[float, Doubles]:
        step = v[: start.weights.size].reshape(start.weights.shape)
        shift = v[start.weights.size :]
        logits = x @ (start.weights + scale * step).T + start.bias + shift
        p = softmax(logits)
        value = -float(weight @ np.log(np.maximum(p[np.arange(len(x)), labels], 1e-300)))
        slope = (p - truth) * weight[:, None]
        gradient = np.concatenate([(scale * slope.T @ x + ridge * step).ravel(), slope.sum(0)])
        return value + ridge / 2 * float((step**2).sum()), gradient

    best = minimise(loss, np.zeros(start.weights.size + classes))
    step = best[: start.weights.size].reshape(start.weights.shape)
    return Linear(start.weights + scale * step, start.bias + best[start.weights.size :])


def _tempered(start: Linear, x: Doubles, labels: Ints, weight: Doubles) -> Linear:
    logits = start(x)
    gains = np.geomspace(0.01, 2.0, 40)
    rows = np.arange(len(x))
    costs = [-float(weight @ np.log(softmax(gain * logits)[rows, labels] + 1e-12)) for gain in gains]
    gain = float(gains[int(np.argmin(costs))])
    return Linear(gain * start.weights, gain * start.bias)


def softmax(logits: Doubles) -> Doubles:
    """Row by row."""
    e = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True), np.float64)


def minimise(
    loss: Callable[[Doubles], tuple[float, Doubles]], x: Doubles, steps: int = 60, tolerance: float = 1e-5
) -> Doubles:
    """L-BFGS with back-tracking; ``loss`` gives value and gradient."""
    value, gradient = loss(x)
    past: list[tuple[Doubles, Doubles]] = []
    for _ in range(steps):
        direction = -_two_loops(gradient, past)
        slope = float(gradient @ direction)
        length = 1.0 if past else 1.0 / max(1.0, float(np.linalg.norm(gradient)))
        while True:
            new = x + length * direction
            new_value, new_gradient = loss(new)
            if new_value <= value + 1e-4 * length * slope or length < 1e-8:
                break
            length /= 2
        moved, turned = new - x, new_gradient - gradient
        if float(moved @ turned) > 1e-12:
            past = [*past, (moved, turned)][-_MEMORY:]
        done = abs(value - new_value) <= tolerance * max(1e-3, abs(value))
        x, value, gradient = new, new_value, new_gradient
        if done:
            break
    return x


def _two_loops(gradient: Doubles, past: list[tuple[Doubles, Doubles]]) -> Doubles:
    q, shares = gradient.copy(), []
    for moved, turned in reversed(past):
        share = float(moved @ q) / float(moved @ turned)
        shares.append(share)
        q -= share * turned
    if past:
        moved, turned = past[-1]
        q *= float(moved @ turned) / float(turned @ turned)
    for (moved, turned), share in zip(past, reversed(shares), strict=True):
        q += moved * (share - float(turned @ q) / float(moved @ turned))
    return np.asarray(q, np.float64)
