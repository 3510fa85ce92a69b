"""Streaming histograms of |x| and the three ways to choose a range from them."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.errors import CalibrationError

BINS = 2048
LEVELS = 128
Method = Literal["entropy", "minmax", "percentile"]


@dataclass
class AbsHistogram:
    """Counts of |x| in 2,048 equal bins; the range doubles when a value falls outside, so memory is fixed.

    Exact zeros are left out: every symmetric scale represents them without error, and after a ReLU they would drown
    the shape of the rest.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    width: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Takes an array of any shape. Raises CalibrationError: NaN or infinity."""
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise CalibrationError("an activation is NaN or infinite; the picture or the model is damaged")
        self.low, self.high = min(self.low, low), max(self.high, high)
        peak = max(-low, high)
        if peak == 0:
            return
        if self.width == 0:
            self.width = peak / BINS * (1 + 1e-6)
        while peak >= self.width * BINS:
            self.counts = np.concatenate(
                [self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2, np.int64)]
            )
            self.width *= 2
        sized = np.abs(values[values != 0]).astype(np.float64)
        bins = np.minimum((sized / self.width).astype(np.int32), BINS - 1)
        self.counts += np.bincount(bins, minlength=BINS)

    @property
    def amax(self) -> float:
        """Largest |x| seen."""
        return max(-self.low, self.high)

    def choose(self, method: Method, percentile: float = 99.99) -> float:
        """The |x| at which to clip; 0 for a tensor that was always zero."""
        if self.amax == 0:
            return 0.0
        if method == "minmax":
            return self.amax
        if method == "percentile":
            share = np.cumsum(self.counts) / self.counts.sum()
            return min(self.amax, float(np.searchsorted(share, percentile / 100) + 1) * self.width)
        return min(self.amax, entropy_bins(self.counts) * self.width)


def entropy_bins(counts: NDArray[np.int64], step: int = 8) -> int:
    """How many bins to keep so that KL(P‖Q) is least.

    P is the histogram cut at the candidate with the tail folded into its last bin, Q the same cut in 128 levels spread
    back over P's occupied bins (S. Migacz, "8-bit inference with TensorRT", GTC 2017). Candidates 128…2,048.
    """
    total = int(counts.sum())
    best, least = BINS, np.inf
    for keep in range(LEVELS, BINS + 1, step):
        inside = counts[:keep].astype(np.float64)
        p = inside.copy()
        p[-1] += total - inside.sum()
        occupied = p > 0
        level = np.arange(keep) * LEVELS // keep
        mass = np.bincount(level, weights=inside, minlength=LEVELS)
        spread = np.bincount(level, weights=occupied, minlength=LEVELS)
        q = np.where(occupied, mass[level] / np.maximum(spread[level], 1), 0.0)
        if q.sum() == 0:
            continue
        p, q = p[occupied] / total, q[occupied] / q.sum()
        divergence = float(np.sum(p * np.log(p / np.maximum(q, 1e-9))))
        if divergence <= least:
            best, least = keep, divergence
    return best
