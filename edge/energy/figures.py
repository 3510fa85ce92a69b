"""From part records and readings of power to joules a part."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from edge._core import Reason, Verdict
from edge.energy.arms import CLASSIFIER, GATE, HYBRID
from edge.energy.report import FIGURES, Ratio, RouteEnergy, Run, Span
from edge.errors import EdgeError
from edge.profile.stages import Record
from edge.service.telemetry.energy import EnergyMeter, engine_span_ns
from edge.service.telemetry.reading import Reading

_PAIRS = ((HYBRID, CLASSIFIER), (HYBRID, GATE), (GATE, CLASSIFIER))


@dataclass(frozen=True)
class Passage:
    """One run: its parts, and looks at the device before and meanwhile."""

    arm: str
    records: Sequence[Record]
    rest: Sequence[Reading]
    readings: Sequence[Reading]


def run_figures(passage: Passage) -> Run:
    """Raises EdgeError: no part, or power that was not told all the time."""
    looks = [reading for reading in passage.readings if reading.total_w is not None]
    begin, end = _bounds(passage)
    if len(looks) < 2 or looks[0].at_ns > begin or looks[-1].at_ns < end:
        raise EdgeError(
            f"{passage.arm}: {len(looks)} looks at the power do not cover its {len(passage.records)} parts; expected "
            "rails that answer all the time: look at them with edge doctor, and let nothing else take them"
        )
    meter = EnergyMeter(kept=None)
    for record in sorted(passage.records, key=lambda record: int(record["gate_out_ns"])):
        meter.add(record)
    for look in looks:
        meter.look(look)
    counted = sum(meter.parts.values())
    seconds, total_j = (end - begin) / 1e9, meter.energy_j(begin, end)
    rest_w = mean_w(passage.rest)
    parts = len(passage.records)
    return Run(
        arm=passage.arm,
        parts=parts,
        seconds=round(seconds, 3),
        watts=total_j / seconds,
        rest_watts=rest_w,
        engine_ms=_mean_engine_ms(passage.records),
        engines_j=sum(meter.joules.values()) / max(1, counted),
        line_j=total_j / parts,
        above_rest_j=(total_j - rest_w * seconds) / parts,
        routes={
            _route(passage.arm, name): RouteEnergy(parts=count, engines_j=meter.joules[name] / count)
            for name, count in sorted(meter.parts.items())
        },
        verdicts=dict(Counter(Verdict(int(r["final_verdict"])).name.lower() for r in passage.records)),
        late=sum(Reason(int(r["final_reason"])) is Reason.OVERRUN for r in passage.records),
    )


def _mean_engine_ms(records: Sequence[Record]) -> float:
    spans = [span_ns for record in records if (span_ns := engine_span_ns(record))]
    return fmean(end - begin for begin, end in spans) / 1e6 if spans else 0.0


def _route(arm: str, name: str) -> str:
    """The classifier alone runs in the gate's place."""
    return CLASSIFIER if arm == CLASSIFIER and name == GATE else name


def mean_w(readings: Sequence[Reading]) -> float:
    """Over time, by trapezoids. Raises EdgeError: fewer than two looks that tell the power."""
    meter = EnergyMeter(kept=None)
    looks = [reading for reading in readings if reading.total_w is not None]
    if len(looks) < 2:
        raise EdgeError("the rails told no power while the line rested; expected some: rest longer (--rest)")
    for look in looks:
        meter.look(look)
    begin, end = looks[0].at_ns, looks[-1].at_ns
    return meter.energy_j(begin, end) / ((end - begin) / 1e9)


def arm_spans(runs: Sequence[Run]) -> dict[str, dict[str, Span]]:
    """Arm → figure → spread over its repetitions."""
    names = dict.fromkeys(run.arm for run in runs)
    return {
        name: {key: span([getattr(run, key) for run in runs if run.arm == name]) for key in FIGURES}
        for name in names
    }


def ratios(rounds: Sequence[Mapping[str, Run]]) -> tuple[Ratio, ...]:
    """Each pair of arms within each round, so that what drifts from round to round cancels."""
    return tuple(
        Ratio(
            arm=arm,
            over=over,
            figure=figure,
            ratio=span([getattr(one[arm], figure) / getattr(one[over], figure) for one in rounds]),
        )
        for figure in FIGURES
        for arm, over in _PAIRS
        if all(arm in one and over in one and getattr(one[over], figure) > 0 for one in rounds)
    )


def span(values: Sequence[float]) -> Span:
    """Median, least and most."""
    return Span(median=median(values), min=min(values), max=max(values))


def _bounds(passage: Passage) -> tuple[int, int]:
    if not passage.records:
        raise EdgeError(f"{passage.arm}: no part was judged; run the line itself: edge run LINE.yaml")
    begins = [int(record["triggered_ns"]) for record in passage.records]
    ends = [int(record["ack_ns"] or record["decided_ns"]) for record in passage.records]
    return min(begins), max(ends)
