"""Runs a line and keeps what is needed to say where its time goes."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge._core import PlcResult, now_ns
from edge.camera.settings import TwinSettings
from edge.config import LineConfig
from edge.line import Line, RunningLine, RunOptions, TwinRequest, stop_on_signals
from edge.profile.causes import overruns
from edge.profile.figures import (
    budget_ms,
    highest_speed,
    idle_gaps,
    latencies,
    speed_steps,
    spread,
    stage_spreads,
    throttling,
)
from edge.profile.machine import MachineWatch
from edge.profile.report import ProfileReport
from edge.service.telemetry.clocks import Clocks
from edge.service.telemetry.timeline import Timeline
from edge.version import __version__

PITCH_M = 0.08
"""Of the twin's belt, from part to part."""
RAMP_S = 0.5
LOOK_NS = 200_000_000
"""From one look at what holds the clocks down to the next."""
WARM_UP_SHOWN = 100
WATCHED = {"loop": "inspection", "actuation": "actuation"}
"""Place of a stage → process."""
_UNANSWERED = (PlcResult.PENDING, PlcResult.SUPERSEDED)


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    parts: int = 600
    seconds: float | None = None
    """For a line with a real camera: how long to watch."""
    speed_m_per_s: float | None = None
    seed: int = 1
    gaps_s: tuple[float, ...] = (1.0, 10.0)
    sweep_m_per_s: tuple[float, ...] = ()
    sweep_parts: int = 150


@dataclass
class Observed:
    """One run."""

    records: list[Any] = field(default_factory=list)
    watches: dict[str, MachineWatch] = field(
        default_factory=lambda: {place: MachineWatch() for place in WATCHED}
    )
    throttling: Timeline = field(default_factory=lambda: Timeline(kept=None))


Told = Callable[[str, float], None]
"""What is being done, and the share of it that is done."""


def profile(
    config: LineConfig, plan: Plan, say: Callable[[str], None], told: Told
) -> tuple[ProfileReport, list[Any]]:
    """The report, and the records of the main run for pictures and traces."""
    is_twin = isinstance(config.camera, TwinSettings)
    speed = plan.speed_m_per_s or config.conveyor.m_per_s
    main = _observe(
        config, plan, _request(plan.parts, plan.seed, f"{speed:g}"), say, lambda s: told("parts", s)
    )
    swept = Observed()
    if is_twin and (plan.sweep_m_per_s or plan.gaps_s):
        text, parts = sweep_profile(speed, plan.sweep_m_per_s, plan.sweep_parts, plan.gaps_s)
        swept = _observe(
            config, plan, _request(parts, plan.seed + 1, text), say, lambda s: told("speeds and rests", s)
        )
    steps = speed_steps(swept.records, sorted({*plan.sweep_m_per_s}))
    latency, budget = spread(latencies(main.records)), budget_ms(main.records)
    report = ProfileReport(
        version=__version__,
        host=platform.node(),
        at=time.strftime("%Y-%m-%d %H:%M"),
        line=config.name,
        source=config.camera.kind,
        m_per_s=speed,
        parts=len(main.records),
        budget_ms=budget,
        stages=stage_spreads(main.records),
        latency_ms=latency,
        budget_use=round(latency.p99_9 / budget, 4) if latency and budget else None,
        overruns=overruns(main.records, main.watches, main.throttling),
        warm_up_ms=tuple(round(ns / 1e6, 3) for ns in latencies(main.records[:WARM_UP_SHOWN])),
        idle_gap=idle_gaps(swept.records if is_twin else main.records, plan.gaps_s),
        sweep=steps,
        max_speed_m_per_s=highest_speed(steps),
        machine=main.watches["loop"].summary(),
        throttling=throttling(main.records, main.throttling),
    )
    return report, main.records


def _request(parts: int, seed: int, speed: str) -> TwinRequest:
    return TwinRequest(parts=parts, seed=seed, speed=speed)


def _observe(
    config: LineConfig,
    plan: Plan,
    request: TwinRequest,
    say: Callable[[str], None],
    done: Callable[[float], None],
) -> Observed:
    found = Observed()
    clocks = Clocks(Path("/"))

    def keep(batch: NDArray[np.void]) -> None:
        for record in batch:
            if PlcResult(int(record["plc_result"])) not in _UNANSWERED or config.plc.kind == "none":
                found.records.append(record.copy())

    def tick(running: RunningLine) -> None:
        for place, process in WATCHED.items():
            pid = running.pids.get(process)
            if pid and running.status.line_ready:
                found.watches[place].sample(pid)
        if now_ns() >= found.throttling.until_ns + LOOK_NS:
            found.throttling.look(now_ns(), (cause.name for cause in clocks.held()))
        over = plan.seconds is not None and running.seconds >= plan.seconds
        if over and not isinstance(config.camera, TwinSettings):
            line.ask_to_stop()
        share = running.seconds / plan.seconds if plan.seconds else len(found.records) / request.parts
        done(min(1.0, share))

    with Line(config, RunOptions(twin=request, on_records=keep), say) as line:
        stop_on_signals(line)
        line.run(tick)
    found.records.sort(key=lambda record: int(record["triggered_ns"]))
    return found


def sweep_profile(
    usual_m_per_s: float, speeds: Sequence[float], parts_each: int, gaps_s: Sequence[float]
) -> tuple[str, int]:
    """The belt of the second run, ``seconds:m/s`` knots, and how many parts pass on it.

    First the rests, at the usual speed in between, then one plateau a speed, the slowest first.
    """
    knots: list[tuple[float, float]] = [(0.0, usual_m_per_s)]
    now = travelled = 0.0

    def hold(speed: float, seconds: float) -> None:
        nonlocal now, travelled
        travelled += RAMP_S * (knots[-1][1] + speed) / 2
        knots.append((now + RAMP_S, speed))
        knots.append((now + RAMP_S + seconds, speed))
        travelled += speed * seconds
        now += RAMP_S + seconds

    for gap in gaps_s:
        hold(usual_m_per_s, 4 * PITCH_M / usual_m_per_s + 1.0)
        hold(0.0, gap)
    if gaps_s:
        hold(usual_m_per_s, 1.0)
    for speed in sorted(speeds):
        hold(speed, parts_each * PITCH_M / speed)
    text = ",".join(f"{t:.3f}:{v:g}" for t, v in knots)
    return text, max(1, int(travelled / PITCH_M))
