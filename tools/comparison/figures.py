"""What is said of every contestant, on the same unseen parts and in one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools import measure
from tools.comparison.contestants import Contestant
from tools.comparison.memory import session_mib
from tools.comparison.sight import Sight
from tools.dataset import normalise
from tools.training import export
from tools.training.fit import MEAN, STD
from tools.training.sets import Labelled

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
    """One network, trained for the comparison."""

    name: str
    fp32: Precision
    int8: Precision
    speedup: float
    """Median over the runs of float32 over INT8, each pair measured side by side."""
    sight: Sight
    """Of the INT8 graph."""
    macs: float
    weights: float
    training_seconds: float

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
    return Figures(
        name=one.name,
        fp32=Precision(measure.accuracy(exact, test.labels), *percentiles(fp32_ms), *sizes(one.fp32)),
        int8=Precision(measure.accuracy(scores, test.labels), *percentiles(int8_ms), *sizes(one.int8)),
        speedup=float(np.median(fp32_ms / int8_ms)),
        sight=Sight.of(scores, test.labels),
        macs=one.macs,
        weights=one.weights,
        training_seconds=one.training_seconds,
    )


def percentiles(times_ms: NDArray[np.float64]) -> tuple[float, float]:
    """p50 and p99."""
    return float(np.percentile(times_ms, 50)), float(np.percentile(times_ms, 99))


def sizes(graph: Path) -> tuple[float, float]:
    """MB of the file, MiB of a process that runs it."""
    return graph.stat().st_size / 1e6, session_mib(graph)
