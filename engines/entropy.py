"""Three ways to choose the |x| at which INT8 clips, from a histogram of |x|."""

from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

BINS = 2048
LEVELS = 128
_STEP = 8
Method = Literal["entropy", "minmax", "percentile"]
METHODS: tuple[Method, ...] = get_args(Method)


class AbsHistogram(Protocol):
    """Counts of |x| in 2,048 equal bins of a stream of activations; the native one is ``edge._core``'s."""

    def add(self, values: NDArray[np.float32]) -> None:
        """Takes a contiguous array of any shape; raises if a value is NaN or infinite."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """(2048,), exact zeros left out."""

    @property
    def width(self) -> float:
        """Of one bin."""

    @property
    def low(self) -> float:
        """Lowest value seen, at most 0."""

    @property
    def high(self) -> float:
        """Highest value seen, at least 0."""


def choose_amax(seen: AbsHistogram, method: Method, percentile: float = 99.99) -> float:
    """The |x| at which to clip; 0 for a tensor that was always zero."""
    amax = max(-seen.low, seen.high)
    if amax == 0 or method == "minmax":
        return amax
    counts = seen.counts
    if method == "percentile":
        share = np.cumsum(counts) / counts.sum()
        return min(amax, float(np.searchsorted(share, percentile / 100) + 1) * seen.width)
    return min(amax, entropy_bins(counts) * seen.width)


def entropy_bins(counts: NDArray[np.int64]) -> int:
    """How many of the 2,048 bins to keep so that KL(P‖Q) is least; of equals the most.

    P is the histogram cut at the candidate with the tail folded into its last bin, Q the same cut in 128 levels spread
    back over P's occupied bins (S. Migacz, "8-bit inference with TensorRT", GTC 2017). Candidates 128, 136 … 2,048.
    """
    sums = _Sums(counts)
    divergence = [sums.divergence(keep) for keep in range(LEVELS, BINS + 1, _STEP)]
    return BINS - _STEP * int(np.argmin(divergence[::-1]))


class _Sums:
    """Running sums, so that a candidate costs its 128 levels and not its bins."""

    def __init__(self, counts: NDArray[np.int64]) -> None:
        self._counts = counts.astype(np.float64)
        self._mass = np.concatenate([[0.0], np.cumsum(self._counts)])
        self._occupied = np.concatenate([[0], np.cumsum(counts > 0)])
        self._plogp = np.concatenate([[0.0], np.cumsum(_xlogx(self._counts))])

    def divergence(self, keep: int) -> float:
        """KL(P‖Q) in nats for the first ``keep`` bins; infinite when they are empty."""
        inside, total = self._mass[keep], self._mass[-1]
        if inside == 0:
            return np.inf
        tail, last = total - inside, self._counts[keep - 1]
        edges = -(-np.arange(LEVELS + 1) * keep // LEVELS)
        mass = np.diff(self._mass[edges])
        occupied = np.diff(self._occupied[edges])
        occupied[-1] += tail > 0 and last == 0
        q = mass / np.maximum(occupied, 1) / inside
        mass[-1] += tail
        plogp = self._plogp[keep] + float(_xlogx(last + tail) - _xlogx(last))
        return float((plogp - mass @ np.log(np.maximum(q, 1e-9))) / total - np.log(total))


def _xlogx(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x * np.log(np.maximum(x, 1)))
