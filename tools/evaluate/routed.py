"""What the line would make of predicted parts at a line speed: the loop's own routing, with measured times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.predictions import Predictions
from edge import _core
from edge._core import Reason, Route, Verdict
from edge.config import LineConfig
from edge.inspection.native import class_roles, routing_row, score_calibration
from edge.inspection.rules import native_rules
from edge.inspection.settings import ExposureSettings
from edge.settings import Settings
from engines.bounds import upper_bound
from engines.manifest import EngineManifest
from tools.evaluate.asking import LineTiming

PLC_WRITE_MS = 1.0
"""What the loop assumes until actuation has measured it (loop.hpp, plc_write_assumed_ns)."""


class SpeedRow(Settings):
    """One line speed. Shares and rates are of 1; latencies are ms of engine time on a real-time thread."""

    speed_m_per_s: float
    budget_ms: float
    parts: int
    gate_share: float
    mean_engine_ratio: float
    accuracy: float
    classifier_accuracy: float
    verdict_accuracy: float
    defective: int
    escapes: int
    escape_rate: float
    escape_upper_95: float
    good: int
    overkills: int
    overkill_rate: float
    no_time_share: float
    retest_share: float
    guard_share: float
    latency_ms: float
    latency_p999_ms: float


@dataclass(frozen=True)
class Routed:
    """By part."""

    verdict: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    route: NDArray[np.uint8]
    called: NDArray[np.int64]
    """Class id that whoever settled the part gives it; -1: nobody saw it."""
    engine_ms: NDArray[np.float64]
    looks: NDArray[np.uint8]


def guarded(p: Predictions, limits: ExposureSettings) -> NDArray[np.bool_]:
    """True where the exposure guard lets the engines judge the part."""
    dark = (p.brightness_mean < limits.min_mean) | (p.dark_share > limits.max_dark_share)
    bright = (p.brightness_mean > limits.max_mean) | (p.bright_share > limits.max_bright_share)
    blurred = (p.sharpness >= 0) & (p.sharpness < limits.min_sharpness)
    return np.asarray(~(dark | bright | blurred))


def budget_ms(line: LineConfig, speed_m_per_s: float) -> float:
    """min(cap, window / speed)."""
    return min(line.budget.cap_ms, line.budget.window_mm / speed_m_per_s)


def router_of(line: LineConfig, manifest: EngineManifest) -> _core.PartRouter:
    """The loop's routing with the thresholds, scores and rules of a line."""
    rules, zones = native_rules(line.rules, manifest.classes)
    return _core.PartRouter(
        rows=[routing_row(step) for step in line.routing],
        roles=class_roles(line.rules, manifest),
        gate=score_calibration(line.scores.gate),
        classifier=score_calibration(line.scores.classifier),
        rules=_core.RuleBook(rules, zones),
    )


def route(
    p: Predictions,
    line: LineConfig,
    manifest: EngineManifest,
    speed_m_per_s: float,
    timing: LineTiming | None,
) -> Routed:
    """Routes all parts at one speed; without ``timing`` there is always time for the classifier."""
    looks = np.full(len(p), 2, np.uint8)
    if timing is not None:
        # What took longer was this process waiting for a CPU, not the engine.
        gate_ms = np.minimum(p.gate_ms, timing.gate_p999_ms)
        prepare_ms = np.minimum(p.prepare_ms, 3 * np.median(p.prepare_ms))
        left_ms = budget_ms(line, speed_m_per_s) - prepare_ms - gate_ms
        needed_ms = timing.classifier_p999_ms + PLC_WRITE_MS
        first_ms = np.minimum(p.classifier_ms, timing.classifier_p999_ms)
        looks = (left_ms >= needed_ms).astype(np.uint8) + (left_ms - first_ms >= needed_ms)
    answer = router_of(line, manifest).route(
        p.gate,
        p.classifier,
        p.again if line.retest.view != "none" else None,
        speeds_um_per_s=np.full(len(p), round(speed_m_per_s * 1e6), np.int64),
        looks_in_time=looks.astype(np.uint8),
    )
    seen = guarded(p, line.exposure)
    verdict = np.where(seen, answer["verdict"], Verdict.REJECT).astype(np.uint8)
    reason = np.where(seen, answer["reason"], Reason.UNDEREXPOSED).astype(np.uint8)
    way = np.where(seen, answer["route"], Route.NONE).astype(np.uint8)
    by_classifier = way == Route.CLASSIFIER
    looks = np.where(by_classifier, answer["looks"], 0).astype(np.uint8)
    engine_ms = np.where(way == Route.NONE, 0.0, p.gate_ms.astype(np.float64))
    engine_ms += np.where(by_classifier, p.classifier_ms, 0) + np.where(looks > 1, p.again_ms, 0)
    two_looks = np.where((looks > 1)[:, None], (p.classifier + p.again) / 2, p.classifier)
    called = np.where(by_classifier, two_looks.argmax(1), p.gate.argmax(1))
    return Routed(verdict, reason, way, np.where(way == Route.NONE, -1, called), engine_ms, looks)


def speed_row(
    p: Predictions, line: LineConfig, manifest: EngineManifest, speed_m_per_s: float, timing: LineTiming
) -> SpeedRow:
    """The figures of one speed; parts rendered for other speeds do not count."""
    own = np.isnan(p.speed_m_per_s) | (np.abs(p.speed_m_per_s - speed_m_per_s) < 1e-3)
    p = p.pick(own)
    routed = route(p, line, manifest, speed_m_per_s, timing)
    good_id, empty_id = (manifest.classes.index(name) for name in (manifest.good_class, manifest.empty_class))
    good, empty = p.class_id == good_id, p.class_id == empty_id
    defective = ~good & ~empty
    rejected = routed.verdict == Verdict.REJECT
    escapes, overkills = int((defective & ~rejected).sum()), int((good & rejected).sum())
    judged = routed.route != Route.NONE
    no_time = routed.reason == Reason.NO_TIME
    by_gate = (routed.route == Route.GATE) & ~no_time
    right = rejected == defective
    most_looks = int(np.quantile(routed.looks, 0.999, method="higher"))
    return SpeedRow(
        speed_m_per_s=round(speed_m_per_s, 4),
        budget_ms=round(budget_ms(line, speed_m_per_s), 3),
        parts=len(p),
        gate_share=_share(by_gate, judged),
        mean_engine_ratio=round(
            float(routed.engine_ms[judged].mean() / p.classifier_ms[judged].mean()) if judged.any() else 0.0,
            4,
        ),
        accuracy=_share(routed.called == p.class_id, judged),
        classifier_accuracy=_share(p.classifier.argmax(1) == p.class_id, judged),
        verdict_accuracy=_share(right | (empty & (routed.verdict != Verdict.PASS)), np.ones(len(p), bool)),
        defective=int(defective.sum()),
        escapes=escapes,
        escape_rate=round(escapes / max(1, int(defective.sum())), 7),
        escape_upper_95=round(upper_bound(escapes, int(defective.sum())), 7),
        good=int(good.sum()),
        overkills=overkills,
        overkill_rate=round(overkills / max(1, int(good.sum())), 6),
        no_time_share=_share(no_time, judged),
        retest_share=_share(routed.looks > 1, judged),
        guard_share=_share(~judged, np.ones(len(p), bool)),
        latency_ms=round(_mean(timing.gate_ms + routed.looks * timing.classifier_ms, judged), 4),
        latency_p999_ms=round(timing.gate_p999_ms + most_looks * timing.classifier_p999_ms, 4),
    )


def _mean(values: NDArray[np.floating], of: NDArray[np.bool_]) -> float:
    return float(values[of].mean()) if of.any() else 0.0


def _share(what: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    return round(float(what[of].mean()), 6) if of.any() else 0.0
