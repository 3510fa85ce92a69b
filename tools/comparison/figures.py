"""What is said of every contestant, on the same unseen parts and in one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools import measure
from tools.comparison.contestants import Contestant
from tools.comparison.memory import session_mib
from tools.dataset import normalise
from tools.training import export
from tools.training.fit import MEAN, STD
from tools.training.sets import Labelled
from tools.twin.parts import CLASSES, DEFECTS, FLAWLESS

SHOWN_ESCAPES = 0.005
"""Escape rate at which overkill is told too: at the highest score each network picks another point of its curve."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Precision:
    """One of the two graphs of a network; times in ms of one thread."""

    accuracy: float
    latency_p50_ms: float
    latency_p99_ms: float
    size_mb: float
    memory_mib: float


@dataclass(frozen=True)
class Figures:
    """One network. Shares are of parts; ``recall`` and ``f1`` by class, of the INT8 graph."""

    name: str
    fp32: Precision
    int8: Precision
    speedup: float
    """Median over the runs of float32 over INT8, each pair measured side by side."""
    recall: dict[str, float]
    f1: dict[str, float]
    escapes: float
    """Defective parts whose highest score is the good class."""
    overkills: float
    """Good parts whose highest score is any other class."""
    overkills_at_escapes: float
    """Good parts rejected where the limit lets ``SHOWN_ESCAPES`` of the defective ones pass."""
    macs: float
    weights: float
    training_seconds: float

    @property
    def macro_f1(self) -> float:
        """Mean over the classes."""
        return float(np.mean(list(self.f1.values())))

    @property
    def drop_points(self) -> float:
        """Accuracy that INT8 costs."""
        return 100 * (self.fp32.accuracy - self.int8.accuracy)


def compare(contestants: Sequence[Contestant], test: Labelled, say: Say) -> list[Figures]:
    """Scores every graph on ``test`` and times all of them in turn, so that a busy machine disturbs all alike."""
    graphs = [path for one in contestants for path in (one.fp32, one.int8)]
    say(f"timing {len(graphs)} graphs in turn")
    times = measure.latencies_ms(graphs, normalise(test.images[:1], MEAN, STD))
    found = []
    for index, one in enumerate(contestants):
        say(f"scoring {one.name} on {len(test.labels)} parts")
        found.append(_figures(one, test, times[:, 2 * index], times[:, 2 * index + 1]))
    return found


def _figures(
    one: Contestant, test: Labelled, fp32_ms: NDArray[np.float64], int8_ms: NDArray[np.float64]
) -> Figures:
    exact, scores = export.score(one.fp32, test.images), export.score(one.int8, test.images)
    table = measure.confusion(scores, test.labels)
    good = test.labels == FLAWLESS
    return Figures(
        name=one.name,
        fp32=Precision(measure.accuracy(exact, test.labels), *_of(fp32_ms), *_sizes(one.fp32)),
        int8=Precision(measure.accuracy(scores, test.labels), *_of(int8_ms), *_sizes(one.int8)),
        speedup=float(np.median(fp32_ms / int8_ms)),
        recall=dict(zip(CLASSES, _shares(table.diagonal(), table.sum(1)), strict=True)),
        f1=dict(zip(CLASSES, _shares(2 * table.diagonal(), table.sum(1) + table.sum(0)), strict=True)),
        escapes=measure.escape_rate(scores, test.labels),
        overkills=float((scores[good].argmax(1) != FLAWLESS).mean()),
        overkills_at_escapes=overkills_at(scores, test.labels, SHOWN_ESCAPES),
        macs=one.macs,
        weights=one.weights,
        training_seconds=one.training_seconds,
    )


def overkills_at(scores: measure.Scores, labels: NDArray[np.int64], escapes: float) -> float:
    """Share of the good parts that do not pass a limit on the good class which at most ``escapes`` of the defective
    ones reach."""
    defective = np.sort(scores[np.isin(labels, DEFECTS), FLAWLESS])[::-1]
    limit = defective[int(escapes * len(defective))]
    return float((scores[labels == FLAWLESS, FLAWLESS] <= limit).mean())


def _shares(hits: NDArray[np.int64], of: NDArray[np.int64]) -> list[float]:
    return [float(hit / max(1, total)) for hit, total in zip(hits, of, strict=True)]


def _of(times_ms: NDArray[np.float64]) -> tuple[float, float]:
    return float(np.percentile(times_ms, 50)), float(np.percentile(times_ms, 99))


def _sizes(graph: Path) -> tuple[float, float]:
    return graph.stat().st_size / 1e6, session_mib(graph)
