"""Profiling that never stops: histograms of every stage and route, and the slowest parts with all their times."""

import heapq
import json
import logging
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge._core import Histogram, PlcResult, Reason, Route
from edge.profile.stages import Record, latency_ns, stages_of
from edge.profile.trace import trace
from edge.report.collector import final_verdict
from edge.service.telemetry.beside import LatencyBeside
from engines.whole_file import write_whole

log = logging.getLogger("edge.report")

WORST = 64
WRITE_NS = 5_000_000_000
QUANTILES = (0.5, 0.9, 0.99, 0.999)


class ContinuousProfile:
    """A sink; bounded: two routes of nine stages, and 64 parts. Histograms are exact to 1 %."""

    def __init__(self, line: str, path: Path, beside: LatencyBeside | None = None) -> None:
        """``path``: what ``edge profile live`` reads, written whole every five seconds; ``beside``: of telemetry."""
        self._beside = beside
        self._line = line
        self._path = path
        self._due_ns = 0
        self._order = count()
        self._worst: list[tuple[int, int, Record]] = []
        self.stages: dict[tuple[str, str], Histogram] = {}
        self.sums_ns: Counter[tuple[str, str]] = Counter()
        self.latency = Histogram()
        self.verdicts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.overruns: Counter[str] = Counter()
        """By the stage that took longest."""

    def add(self, records: NDArray[np.void]) -> None:
        """Takes finished records."""
        for record in records:
            if PlcResult(int(record["plc_result"])) is not PlcResult.SUPERSEDED:
                self._add(record)

    def _add(self, record: Record) -> None:
        verdict, reason = final_verdict(record)
        self.verdicts[verdict.name.lower()] += 1
        if reason is not Reason.NONE:
            self.reasons[reason.name.lower()] += 1
        route = Route(int(record["route"])).name.lower()
        lengths = stages_of(record)
        for name, length in lengths.items():
            key = (name, route)
            if key not in self.stages:
                self.stages[key] = Histogram()
            self.stages[key].add(length)
            self.sums_ns[key] += length
        if reason is Reason.OVERRUN:
            self.overruns[max(lengths, key=lambda name: lengths[name]) if lengths else "frame"] += 1
        latency = latency_ns(record)
        if latency is not None:
            self.latency.add(latency)
            self._keep(latency, record)

    def _keep(self, latency: int, record: Record) -> None:
        if len(self._worst) < WORST:
            heapq.heappush(self._worst, (latency, next(self._order), record.copy()))
        elif latency > self._worst[0][0]:
            heapq.heapreplace(self._worst, (latency, next(self._order), record.copy()))

    def tick(self, now_ns: int) -> None:
        """Writes the file when it is due. Raises OSError: the sink's trouble."""
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + WRITE_NS
            write_whole(self._path, json.dumps(self.summary()) + "\n")

    def close(self) -> None:
        """Writes the last state."""
        self._due_ns = 0
        self.tick(0)

    def summary(self) -> dict[str, Any]:
        """JSON data; times in milliseconds."""
        return {
            "line": self._line,
            "parts": sum(self.verdicts.values()),
            "verdicts": dict(self.verdicts),
            "reasons": dict(self.reasons),
            "overruns": dict(self.overruns),
            "latency_ms": figures(self.latency),
            "stages": [
                {"stage": stage, "route": route, **figures(histogram)}
                for (stage, route), histogram in self.stages.items()
            ],
            "throttled": _throttled(self._beside) if self._beside else None,
            "trace": trace([record for _, _, record in self._worst], self._line, WORST),
        }


def _throttled(beside: LatencyBeside) -> dict[str, Any]:
    return {
        "parts_by_cause": dict(beside.parts),
        "held_ms": figures(beside.latency[True]),
        "free_ms": figures(beside.latency[False]),
    }


def figures(histogram: Histogram) -> dict[str, float]:
    """Count, quantiles and maximum in milliseconds."""
    values = {f"p{100 * q:g}".replace(".", "_"): histogram.quantile(q) / 1e6 for q in QUANTILES}
    return {"count": histogram.count, **values, "max": histogram.max / 1e6}
