"""Does the line still look like its calibration set? Brightness and features, by how far their distributions moved.

Two-sample Kolmogorov–Smirnov distance with the asymptotic threshold of Smirnov (1948), shared among all tests
(Bonferroni), so that a line that did not move raises an alarm once in ``1 / ALARM`` looks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.bank import Bank
from calibration.errors import CalibrationError

ALARM = 1e-3
_LEAST = 20
_FEATURES_TOLD = 5
_SIGNALS = ("brightness", "dark", "bright", "sharpness")


@dataclass(frozen=True)
class Moved:
    """One signal that left its distribution."""

    signal: str
    distance: float
    """Kolmogorov–Smirnov, 0 to 1."""
    allowed: float
    before: float
    """Median of the calibration set."""
    after: float


@dataclass(frozen=True)
class Drift:
    """``moved``: empty while nothing has."""

    moved: tuple[Moved, ...]
    pictures: int

    def in_words(self) -> str:
        """One line each."""
        if not self.moved:
            return f"{self.pictures} pictures look like the calibration set"
        lines = [
            f"{m.signal}: median {m.before:.4g} → {m.after:.4g}, distance {m.distance:.2f} (allowed {m.allowed:.2f})"
            for m in self.moved
        ]
        return "\n".join([f"{self.pictures} pictures do not look like the calibration set:", *lines])


def compare(then: Bank, today: Bank) -> Drift:
    """Raises CalibrationError: another backbone, or fewer than 20 pictures on one side."""
    if then.backbone != today.backbone:
        raise CalibrationError(
            "the two banks are of different engines; make the live one with the engine of the other"
        )
    if min(len(then), len(today)) < _LEAST:
        raise CalibrationError(
            f"{len(then)} and {len(today)} pictures: expected at least {_LEAST} on both sides"
        )
    tests = len(_SIGNALS) + then.taps.shape[1]
    allowed = smirnov_threshold(len(then), len(today), ALARM / tests)
    moved = [
        Moved(name, distance, allowed, float(np.median(a)), float(np.median(b)))
        for name in _SIGNALS
        if (distance := ks_distance(a := getattr(then, name), b := getattr(today, name))) > allowed
    ]
    features = np.array([ks_distance(then.taps[:, i], today.taps[:, i]) for i in range(then.taps.shape[1])])
    for i in np.argsort(-features)[:_FEATURES_TOLD]:
        if features[i] > allowed:
            a, b = then.taps[:, i], today.taps[:, i]
            moved.append(
                Moved(f"feature {i}", float(features[i]), allowed, float(np.median(a)), float(np.median(b)))
            )
    return Drift(tuple(moved), len(today))


def propose(then: Bank, today: Bank, samples: int) -> list[int]:
    """Live pictures to label: far from the calibration set, and far from each other (k-centre, greedy)."""
    centre, spread = then.taps.mean(0), then.taps.std(0) + 1e-3
    x = np.clip((today.taps - centre) / spread, -8, 8)
    chosen = [int(np.abs(x).mean(1).argmax())]
    nearest = np.linalg.norm(x - x[chosen[0]], axis=1)
    while len(chosen) < min(samples, len(x)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(x - x[chosen[-1]], axis=1))
    return chosen


def ks_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Largest distance between two empirical distribution functions."""
    places = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(x), places, side="right") / len(x) for x in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def smirnov_threshold(n: int, m: int, level: float) -> float:
    """The distance that equal distributions exceed with probability ``level``."""
    return float(np.sqrt(-0.5 * np.log(level / 2) * (n + m) / (n * m)))
