"""Lets the same parts pass in each way to judge, in turns, and looks at the power meanwhile."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge._core import PlcResult, now_ns
from edge.config import LineConfig
from edge.energy.arms import arms
from edge.energy.figures import Passage, arm_spans, ratios, run_figures
from edge.energy.report import EnergyReport, Run
from edge.errors import EdgeError
from edge.line import Line, RunningLine, RunOptions, TwinRequest, stop_on_signals
from edge.service.telemetry.reading import Reading
from edge.service.telemetry.sink import PERIOD_NS, Source
from edge.version import __version__

_LOOK_S = PERIOD_NS / 1e9
Told = Callable[[str, float], None]
"""What is being done, and the share of it that is done."""


@dataclass(frozen=True)
class Hooks:
    """How a run tells of itself."""

    say: Callable[[str], None]
    done: Callable[[float], None]


@dataclass(frozen=True)
class Plan:
    """What is to be compared."""

    parts: int = 600
    rounds: int = 3
    rest_s: float = 5.0
    seed: int = 1
    speed_m_per_s: float | None = None


def compare_arms(
    config: LineConfig, plan: Plan, sensors: Source, say: Callable[[str], None], told: Told
) -> EnergyReport:
    """Raises EdgeError: this machine does not tell its power, or the line cannot be compared."""
    if not sensors.known:
        raise EdgeError(
            f"not measurable here, no rail: {sensors.why_unknown}; expected a Jetson with its INA3221 monitors, or a "
            "PC whose RAPL counters this user may read"
        )
    lines = arms(config)
    rounds: list[dict[str, Run]] = []
    looks: list[Reading] = []
    for number in range(plan.rounds):
        found: dict[str, Run] = {}
        for arm in _turned(list(lines), number):
            done = number * len(lines) + len(found)
            hooks = Hooks(say, _share(told, arm, done, plan.rounds * len(lines)))
            passage = _pass(arm, lines[arm], plan, sensors, hooks)
            found[arm] = run_figures(passage)
            looks += passage.readings
        rounds.append(found)
    runs = tuple(run for one in rounds for run in one.values())
    return EnergyReport(
        version=__version__,
        host=platform.node(),
        at=time.strftime("%Y-%m-%d %H:%M"),
        line=config.name,
        source=config.camera.kind,
        rails=tuple(sorted({name for look in looks for name in look.power_w})),
        m_per_s=plan.speed_m_per_s or config.conveyor.m_per_s,
        runs=runs,
        arms=arm_spans(runs),
        ratios=ratios(rounds),
        throttled=tuple(sorted({cause.name for look in looks for cause in look.throttled})),
    )


def _turned(names: list[str], number: int) -> list[str]:
    """Who goes first changes each round."""
    first = number % len(names)
    return names[first:] + names[:first]


def _share(told: Told, arm: str, done: int, of: int) -> Callable[[float], None]:
    return lambda share: told(f"{arm}, run {done + 1} of {of}", (done + share) / of)


def _pass(arm: str, config: LineConfig, plan: Plan, sensors: Source, hooks: Hooks) -> Passage:
    hooks.done(0.0)
    rest = _rest(sensors, plan.rest_s)
    records: list[np.void] = []
    readings = [sensors.read()]

    def keep(batch: NDArray[np.void]) -> None:
        for record in batch:
            if PlcResult(int(record["plc_result"])) is not PlcResult.SUPERSEDED:
                records.append(record.copy())

    def tick(_running: RunningLine) -> None:
        if now_ns() >= readings[-1].at_ns + PERIOD_NS:
            readings.append(sensors.read())
        hooks.done(min(1.0, len(records) / plan.parts))

    speed = plan.speed_m_per_s or config.conveyor.m_per_s
    request = TwinRequest(parts=plan.parts, seed=plan.seed, speed=f"{speed:g}")
    with Line(config, RunOptions(twin=request, on_records=keep), hooks.say) as line:
        stop_on_signals(line)
        line.run(tick)
    readings.append(sensors.read())
    return Passage(arm, records, rest, readings)


def _rest(sensors: Source, seconds: float) -> list[Reading]:
    readings = [sensors.read()]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(_LOOK_S)
        readings.append(sensors.read())
    return readings
