"""Features of even size: taps standardised and clipped, the old logits of one spread, few principal directions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.discriminant import Doubles, Linear
from calibration.taps import Head

CLIP = 8.0
DIRECTIONS = 320
"""Of the taps, by principal components: so many that little is lost, so few that minutes are seconds."""
_SPREAD_FLOOR = 1e-3
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """What the features of some pictures are like; applied to others too."""

    mean: Doubles
    spread: Doubles
    logit_mean: Doubles
    logit_spread: float

    @staticmethod
    def of(taps: Floats, logits: Floats) -> "Scale":
        """(n, taps) and (n, classes of the head that is there)."""
        x, z = taps.astype(np.float64), logits.astype(np.float64)
        return Scale(x.mean(0), x.std(0) + _SPREAD_FLOOR, z.mean(0), max(float(z.std()), 1e-6))

    def __call__(self, taps: Floats, logits: Floats) -> Doubles:
        """(n, taps + old classes): of even size, so that one shrinkage fits all."""
        even = np.clip((taps - self.mean) / self.spread, -CLIP, CLIP)
        return np.hstack([even, (logits - self.logit_mean) / self.logit_spread])

    def unscaled(self, linear: Linear) -> Linear:
        """The scaling of the logits folded into the weights; that of the taps has a clip and stays with the head."""
        taps = len(self.mean)
        weights = linear.weights.copy()
        bias = linear.bias - weights[:, taps:] @ (self.logit_mean / self.logit_spread)
        weights[:, taps:] /= self.logit_spread
        return Linear(weights, bias)

    def head(self, linear: Linear) -> Head:
        """As the graph takes it."""
        return self.head_of(self.unscaled(linear))

    def head_of(self, unscaled: Linear) -> Head:
        """Of weights on (even taps, logits as they come)."""
        return Head(
            self.mean.astype(np.float32),
            self.spread.astype(np.float32),
            unscaled.weights.astype(np.float32),
            unscaled.bias.astype(np.float32),
            CLIP,
        )


def principal(every: Doubles, taps: int) -> Doubles:
    """(taps + old classes, fewer): principal directions of the taps; the old logits stay as they are."""
    x = every[:, :taps] - every[:, :taps].mean(0)
    _, vectors = np.linalg.eigh(x.T @ x)
    kept = vectors[:, ::-1][:, :DIRECTIONS]
    old = every.shape[1] - taps
    basis = np.zeros((every.shape[1], kept.shape[1] + old))
    basis[:taps, : kept.shape[1]] = kept
    basis[taps:, kept.shape[1] :] = np.eye(old)
    return basis
