"""How good an INT8 graph is beside its float graph, on the same pictures, and how sure that is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Measure = Literal["accuracy", "agreement", "fidelity"]
FAITHFUL = 0.99
Answers = NDArray[np.float32]


@dataclass(frozen=True)
class Judge:
    """``accuracy``: the highest score is the label. ``agreement``: it is the float graph's (no labels that fit).

    ``fidelity``: outputs that are no scores point the same way, cosine ≥ 0.99 (a detector without its decoder).
    """

    measure: Measure
    labels: NDArray[np.int64]
    reference: Answers
    """(pictures, values) of the float graph."""
    decode: Callable[[Answers], Answers] = lambda answers: answers
    """From outputs to scores, where the model is a detector."""

    def right(self, answers: Answers) -> NDArray[np.bool_]:
        """Picture by picture; ``answers`` as ``reference``. What holds NaN is never right."""
        finite = np.isfinite(answers).all(axis=1)
        if self.measure == "fidelity":
            return np.asarray(finite & (cosines(self.reference, answers) >= FAITHFUL), np.bool_)
        found = self.decode(answers).argmax(axis=1)
        wanted = self.labels if self.measure == "accuracy" else self.decode(self.reference).argmax(axis=1)
        return np.asarray(finite & (found == wanted), np.bool_)

    def flips(self, answers: Answers) -> int:
        """Pictures whose highest score is another one than the float graph's; 0 where outputs are no scores."""
        if self.measure == "fidelity":
            return 0
        return int((self.decode(answers).argmax(axis=1) != self.decode(self.reference).argmax(axis=1)).sum())


def cosines(expected: Answers, found: Answers) -> NDArray[np.float32]:
    """Per picture."""
    dot = (expected * found).sum(axis=1)
    norm = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    return np.asarray(dot / np.maximum(norm, 1e-12), np.float32)


@dataclass(frozen=True)
class Drop:
    """From one set of answers to another on the same pictures, in percentage points; 95 % interval."""

    points: float
    low: float
    high: float

    @staticmethod
    def between(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> "Drop":
        """Paired: only pictures that changed sides count. Agresti & Min, 2005: half a picture is added to each cell."""
        lost, won = int((before & ~after).sum()), int((~before & after).sum())
        count = len(before)
        mean = 100 * (lost - won) / count
        total, change = count + 2, (lost + 0.5) - (won + 0.5)
        centre = change / total
        spread = 1.96 * np.sqrt(max(0.0, (lost + won + 1) / total - centre**2) / total)
        return Drop(mean, float(100 * (centre - spread)), float(100 * (centre + spread)))
