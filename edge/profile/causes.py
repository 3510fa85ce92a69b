"""Why a part was slow: which stage took more than usual, and what the machine did meanwhile."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from edge._core import Reason
from edge.profile.machine import COUNTERS, MachineWatch, Sample
from edge.profile.report import Overrun, Overruns
from edge.profile.stages import PLACES, Record, latency_ns, stages_of
from edge.service.telemetry.timeline import Timeline

WORST = 16
HOT_C = 85.0
CLOCK_DROP = 0.9
STORM = 3.0
"""How many times the usual interrupt rate is a storm."""

Watches = Mapping[str, MachineWatch]
"""Of each process in which a stage may run, by the names in PLACES."""


@dataclass(frozen=True)
class Usual:
    """Medians of the run, against which a part is held."""

    stages_ns: Mapping[str, float]
    interrupts_per_s: float
    mhz: float | None

    @classmethod
    def of(cls, records: Sequence[Record], watches: Watches) -> "Usual":
        """Of all parts."""
        lengths: dict[str, list[int]] = {}
        for record in records:
            for name, length in stages_of(record).items():
                lengths.setdefault(name, []).append(length)
        watched = [watch.samples for watch in watches.values()]
        rates = [_rate(a, b) for samples in watched for a, b in pairwise(samples) if b.at_ns > a.at_ns]
        clocks = [sample.mhz for samples in watched for sample in samples if sample.mhz is not None]
        return cls(
            {name: median(values) for name, values in lengths.items()},
            median(rates) if rates else 0.0,
            median(clocks) if clocks else None,
        )


def overruns(records: Sequence[Record], watches: Watches, throttling: Timeline | None = None) -> Overruns:
    """Late parts with their causes; where none was late, the slowest. ``throttling``: what held the clocks down."""
    usual = Usual.of(records, watches)
    late = [record for record in records if Reason(int(record["final_reason"])) is Reason.OVERRUN]
    no_time = sum(Reason(int(record["final_reason"])) is Reason.NO_TIME for record in records)
    shown = sorted(late or records, key=lambda record: latency_ns(record) or 0, reverse=True)[:WORST]
    explained = [explain(record, usual, watches, throttling) for record in (late or shown)]
    counted = explained if late else []
    return Overruns(
        late=len(late),
        no_time=no_time,
        by_stage=dict(Counter(part.stage for part in counted).most_common()),
        by_cause=dict(Counter(_kind(cause) for part in counted for cause in part.causes).most_common()),
        worst=tuple(sorted(explained, key=lambda part: part.latency_ms or 0, reverse=True)[:WORST]),
    )


def explain(record: Record, usual: Usual, watches: Watches, throttling: Timeline | None = None) -> Overrun:
    """One part."""
    beyond = {name: length - usual.stages_ns.get(name, 0.0) for name, length in stages_of(record).items()}
    stage = max(beyond, key=lambda name: beyond[name]) if beyond else "frame"
    latency = latency_ns(record)
    watch = watches.get(PLACES.get(stage, ""))
    causes = _causes(record, usual, watch) if watch else []
    begin, end = _span(record)
    if throttling is not None and begin and end:
        causes += [f"clocks held down: {name}" for name in sorted(throttling.between(begin, end))]
    return Overrun(
        part_id=int(record["part_id"]),
        latency_ms=None if latency is None else round(latency / 1e6, 3),
        budget_ms=round(int(record["budget_ns"]) / 1e6, 3),
        stage=stage,
        beyond_ms=round(max(0.0, beyond.get(stage, 0.0)) / 1e6, 3),
        causes=tuple(causes),
    )


def _causes(record: Record, usual: Usual, watch: MachineWatch) -> list[str]:
    begin, end = _span(record)
    around = watch.around(begin, end) if begin and end else None
    if around is None:
        return []
    before, after = around
    grown = {name: getattr(after, name) - getattr(before, name) for name in COUNTERS}
    found = []
    if grown["major_page_faults"]:
        found.append(f"pages from disk: {grown['major_page_faults']}")
    if grown["page_faults"]:
        found.append(f"page faults: {grown['page_faults']}")
    if grown["waited_ns"] >= 1_000_000 or (grown["involuntary"] and grown["waited_ns"] >= 200_000):
        found.append(f"waited for the processor: {grown['waited_ns'] / 1e6:.1f} ms")
    if usual.interrupts_per_s and _rate(before, after) > STORM * usual.interrupts_per_s:
        found.append(f"interrupts: {_rate(before, after):.0f} a second, usually {usual.interrupts_per_s:.0f}")
    if usual.mhz and after.mhz is not None and after.mhz < CLOCK_DROP * usual.mhz:
        found.append(f"clock: {after.mhz:.0f} MHz, usually {usual.mhz:.0f}")
    if after.temperature_c is not None and after.temperature_c > HOT_C:
        found.append(f"temperature: {after.temperature_c:.0f} °C")
    return found


def _span(record: Record) -> tuple[int, int]:
    return int(record["received_ns"]), int(record["ack_ns"] or record["decided_ns"])


def _rate(a: Sample, b: Sample) -> float:
    return (b.interrupts - a.interrupts) * 1e9 / max(1, b.at_ns - a.at_ns)


def _kind(cause: str) -> str:
    return cause.partition(":")[0]
