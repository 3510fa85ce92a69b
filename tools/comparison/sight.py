"""What a network sees of the same parts, by its scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools import measure
from tools.twin.parts import CLASSES, DEFECTS, FLAWLESS

SHOWN_ESCAPES = 0.005
"""Escape rate at which overkill is told too: at the highest score each network picks another point of its curve."""


@dataclass(frozen=True)
class Sight:
    """Shares of parts; ``recall`` and ``f1`` by class."""

    accuracy: float
    recall: dict[str, float]
    f1: dict[str, float]
    escapes: float
    """Defective parts whose highest score is the good class."""
    overkills: float
    """Good parts whose highest score is any other class."""
    overkills_at_escapes: float
    """Good parts rejected where the limit lets ``SHOWN_ESCAPES`` of the defective ones pass."""

    @property
    def macro_f1(self) -> float:
        """Mean over the classes."""
        return float(np.mean(list(self.f1.values())))

    @staticmethod
    def of(scores: measure.Scores, labels: NDArray[np.int64]) -> "Sight":
        """``scores``: parts×classes."""
        table = measure.confusion(scores, labels)
        good = labels == FLAWLESS
        return Sight(
            measure.accuracy(scores, labels),
            dict(zip(CLASSES, _shares(table.diagonal(), table.sum(1)), strict=True)),
            dict(zip(CLASSES, _shares(2 * table.diagonal(), table.sum(1) + table.sum(0)), strict=True)),
            measure.escape_rate(scores, labels),
            float((scores[good].argmax(1) != FLAWLESS).mean()),
            overkills_at(scores, labels, SHOWN_ESCAPES),
        )


def overkills_at(scores: measure.Scores, labels: NDArray[np.int64], escapes: float) -> float:
    """Share of the good parts that do not pass a limit on the good class which at most ``escapes`` of the defective
    ones reach."""
    defective = np.sort(scores[np.isin(labels, DEFECTS), FLAWLESS])[::-1]
    limit = defective[int(escapes * len(defective))]
    return float((scores[labels == FLAWLESS, FLAWLESS] <= limit).mean())


def _shares(hits: NDArray[np.int64], of: NDArray[np.int64]) -> list[float]:
    return [float(hit / max(1, total)) for hit, total in zip(hits, of, strict=True)]
