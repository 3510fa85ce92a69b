"""Numbers of a profile from part records."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from edge._core import Reason
from edge.profile.report import Gap, SpeedStep, Spread, Throttling
from edge.profile.stages import STAGES, Record, latency_ns, stages_of
from edge.service.telemetry.timeline import Timeline

_QUANTILES = (0.5, 0.9, 0.99, 0.999)


def spread(values_ns: Sequence[int]) -> Spread | None:
    """Quantiles are values that were measured, never in between; None of nothing."""
    if not values_ns:
        return None
    p50, p90, p99, p99_9 = (
        round(float(np.quantile(values_ns, q, method="higher")) / 1e6, 4) for q in _QUANTILES
    )
    return Spread(
        parts=len(values_ns), p50=p50, p90=p90, p99=p99, p99_9=p99_9, max=round(max(values_ns) / 1e6, 4)
    )


def stage_spreads(records: Sequence[Record]) -> dict[str, Spread]:
    """Of every stage that ran at all, in their order."""
    lengths: dict[str, list[int]] = {name: [] for name in STAGES}
    for record in records:
        for name, length in stages_of(record).items():
            lengths[name].append(length)
    return {name: found for name, values in lengths.items() if (found := spread(values)) is not None}


def latencies(records: Sequence[Record]) -> list[int]:
    """Of the parts that have one."""
    return [latency for record in records if (latency := latency_ns(record)) is not None]


def throttling(records: Sequence[Record], timeline: Timeline) -> Throttling:
    """Parts by what held the clocks down between their frame and their acknowledgement."""
    parts: Counter[str] = Counter()
    lengths: dict[bool, list[int]] = {False: [], True: []}
    for record in records:
        latency = latency_ns(record)
        if latency is not None:
            names = timeline.between(int(record["received_ns"]), int(record["ack_ns"]))
            lengths[bool(names)].append(latency)
            parts.update(names)
    return Throttling(
        parts_by_cause=dict(parts.most_common()),
        held_ms=spread(lengths[True]),
        free_ms=spread(lengths[False]),
    )


def budget_ms(records: Sequence[Record]) -> float:
    """The usual one."""
    budgets = [int(record["budget_ns"]) for record in records if record["budget_ns"]]
    return round(float(np.median(budgets)) / 1e6, 3) if budgets else 0.0


def idle_gaps(records: Sequence[Record], wanted_s: Sequence[float]) -> tuple[Gap, ...]:
    """The first part after each rest of about one of the wanted lengths."""
    usual = spread(latencies(records))
    if usual is None:
        return ()
    found = []
    for before, after in pairwise(records):
        gap_s = int(after["triggered_ns"] - before["triggered_ns"]) / 1e9
        latency = latency_ns(after)
        if latency is not None and any(gap_s >= 0.9 * wanted for wanted in wanted_s):
            found.append(
                Gap(gap_s=round(gap_s, 2), latency_ms=round(latency / 1e6, 3), usual_p50_ms=usual.p50)
            )
    return tuple(sorted(found, key=lambda gap: gap.gap_s))


def speed_steps(records: Sequence[Record], speeds_m_per_s: Sequence[float]) -> tuple[SpeedStep, ...]:
    """Parts within 2 % of each speed; ramps in between belong to none."""
    steps = []
    for speed in speeds_m_per_s:
        there = [r for r in records if abs(int(r["speed_um_per_s"]) / 1e6 - speed) <= 0.02 * speed]
        found, budget = spread(latencies(there)), budget_ms(there)
        if found is None:
            continue
        reasons = [Reason(int(record["final_reason"])) for record in there]
        late, no_time = reasons.count(Reason.OVERRUN), reasons.count(Reason.NO_TIME)
        holds = not late and not no_time and found.p99_9 <= budget
        steps.append(
            SpeedStep(
                m_per_s=speed,
                parts=len(there),
                budget_ms=budget,
                latency_ms=found,
                late=late,
                no_time=no_time,
                holds=holds,
            )
        )
    return tuple(steps)


def highest_speed(steps: Sequence[SpeedStep]) -> float | None:
    """Up to which every step holds; None: not even the slowest."""
    best = None
    for step in sorted(steps, key=lambda step: step.m_per_s):
        if not step.holds:
            break
        best = step.m_per_s
    return best
