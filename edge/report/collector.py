"""Part records → statistics of a run, in bounded memory."""

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge._core import Histogram, PlcResult, Reason, Route, Verdict
from edge.profile.stages import STAGES, Record, engine_ns
from edge.report.drift import DriftWatch
from edge.report.schema import Percentiles, Span, VerdictCounts

_LAST_REJECTS = 8
_MOST_UNANSWERED = 4096


@dataclass(frozen=True)
class Reject:
    """One line of the list of last rejects."""

    part_id: int
    reason: str
    class_id: int
    confidence: float
    latency_ms: float | None


@dataclass
class Collector:
    """Counts and histograms over all part records of a run."""

    keep_finals: bool = False
    """Remember the final verdict of every part (a byte each); only where the truth is known and the run ends."""
    finals: bytearray = field(default_factory=bytearray)
    parts: int = 0
    superseded: int = 0
    """Verdicts that came after actuation had rejected the part for want of one; never sent, never counted."""
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    routes: Counter[Route] = field(default_factory=Counter)
    overruns: int = 0
    duplicates: int = 0
    budget_ns: tuple[int, int] | None = None
    latency: Histogram = field(default_factory=Histogram)
    trigger_to_ack: Histogram = field(default_factory=Histogram)
    engine: Histogram = field(default_factory=Histogram)
    tax: Histogram = field(default_factory=Histogram)
    stages: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name in STAGES})
    last_rejects: deque[Reject] = field(default_factory=lambda: deque(maxlen=_LAST_REJECTS))
    drift: DriftWatch = field(default_factory=DriftWatch)
    last_latency_ns: int = 0
    _recent_ids: deque[int] = field(default_factory=lambda: deque(maxlen=4096))
    _recent_set: set[int] = field(default_factory=set)
    _unanswered: dict[int, Record] = field(default_factory=dict)

    def add(self, records: NDArray[np.void]) -> None:
        """Takes finished records, oldest first."""
        for record in records:
            result = PlcResult(int(record["plc_result"]))
            unanswered = result is PlcResult.PENDING
            if result is PlcResult.SUPERSEDED or (unanswered and int(record["part_id"]) in self._recent_set):
                self.superseded += 1
            elif unanswered and len(self._unanswered) < _MOST_UNANSWERED:
                self._unanswered[int(record["part_id"])] = record.copy()
            else:
                self._unanswered.pop(int(record["part_id"]), None)
                self._add(record)

    def close(self) -> None:
        """Counts the parts for which actuation never answered: nobody confirmed anything, so they are rejects."""
        for record in self._unanswered.values():
            self._add(record)
        self._unanswered.clear()

    @property
    def seen(self) -> int:
        """Parts that are accounted for, counted or waiting for an answer."""
        return self.parts + len(self._unanswered)

    def _add(self, r: Record) -> None:
        self.parts += 1
        self._check_duplicate(int(r["part_id"]))
        verdict, reason = final_verdict(r)
        self.verdicts[verdict] += 1
        if self.keep_finals:
            self._keep(int(r["part_id"]), verdict)
        if reason is not Reason.NONE:
            self.reasons[reason.name.lower()] += 1
        self.overruns += reason is Reason.OVERRUN
        self.routes[Route(int(r["route"]))] += 1
        budget = int(r["budget_ns"])
        if budget:
            low, high = self.budget_ns or (budget, budget)
            self.budget_ns = (min(low, budget), max(high, budget))
        self.drift.add(r)
        self._add_times(r)
        if verdict is Verdict.REJECT:
            latency_ms = self.last_latency_ns / 1e6 if r["ack_ns"] and r["received_ns"] else None
            self.last_rejects.append(
                Reject(
                    int(r["part_id"]),
                    reason.name.lower(),
                    int(r["class_id"]),
                    float(r["confidence"]),
                    latency_ms,
                )
            )

    def _keep(self, part_id: int, verdict: Verdict) -> None:
        if part_id >= len(self.finals):
            self.finals.extend(bytes(part_id + 4096 - len(self.finals)))
        self.finals[part_id] = verdict

    def final_of(self, part_id: int) -> Verdict:
        """NONE for a part that has no record, or where finals are not kept."""
        return Verdict(self.finals[part_id]) if 0 <= part_id < len(self.finals) else Verdict.NONE

    def _add_times(self, r: Record) -> None:
        if r["ack_ns"]:
            self.trigger_to_ack.add(int(r["ack_ns"] - r["triggered_ns"]))
            if r["received_ns"]:
                self.last_latency_ns = int(r["ack_ns"] - r["received_ns"])
                self.latency.add(self.last_latency_ns)
        if r["gate_out_ns"]:
            engines_ns = engine_ns(r)
            self.engine.add(engines_ns)
            if r["ack_ns"]:
                self.tax.add(int(r["ack_ns"] - r["received_ns"]) - engines_ns)
        for name, (needed, length) in STAGES.items():
            if r[needed]:
                self.stages[name].add(length(r))

    def _check_duplicate(self, part_id: int) -> None:
        if part_id in self._recent_set:
            self.duplicates += 1
            return
        if len(self._recent_ids) == self._recent_ids.maxlen:
            self._recent_set.discard(self._recent_ids[0])
        self._recent_ids.append(part_id)
        self._recent_set.add(part_id)

    @property
    def gate_share(self) -> float | None:
        """Share of the judged parts that never needed the classifier, whether they were settled or out of time."""
        judged = self.routes[Route.GATE] + self.routes[Route.CLASSIFIER]
        return self.routes[Route.GATE] / judged if judged else None

    def verdict_counts(self) -> VerdictCounts:
        """As the report has them."""
        v = self.verdicts
        return VerdictCounts(
            **{"pass": v[Verdict.PASS], "reject": v[Verdict.REJECT], "no_part": v[Verdict.NO_PART]}
        )

    def budget_span(self) -> Span:
        """As the report has it."""
        if self.budget_ns is None:
            return Span()
        return Span(min=self.budget_ns[0] / 1e6, max=self.budget_ns[1] / 1e6)


def final_verdict(r: Record) -> tuple[Verdict, Reason]:
    """What held for the part. Without an actuation half nobody confirmed anything: a reject."""
    if PlcResult(int(r["plc_result"])) is PlcResult.PENDING:
        return Verdict.REJECT, Reason.PLC_SILENT
    return Verdict(int(r["final_verdict"])), Reason(int(r["final_reason"]))


def percentiles(histogram: Histogram) -> Percentiles:
    """Nanoseconds → milliseconds."""
    if histogram.count == 0:
        return Percentiles()
    p50, p99, p99_9 = (round(histogram.quantile(q) / 1e6, 4) for q in (0.5, 0.99, 0.999))
    return Percentiles(p50=p50, p99=p99, p99_9=p99_9, max=round(histogram.max / 1e6, 4))
