"""The report of ``edge evaluate``."""

import datetime
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from calibration.errors import CalibrationError
from calibration.predictions import Predictions
from edge.config import LineConfig
from edge.settings import Settings
from engines.manifest import EngineManifest
from tools.evaluate.asking import LineTiming
from tools.evaluate.frames import USUAL_EV
from tools.evaluate.routed import SpeedRow, speed_row


class ClassifierFigures(Settings):
    """Highest score against truth, every part."""

    accuracy: float
    per_class: dict[str, float]


class GateFigures(Settings):
    """Likewise; boxes only with a detector gate."""

    accuracy: float
    per_class: dict[str, float]
    box_iou: float | None = None
    map50: float | None = None


class HybridFigures(Settings):
    """At the line's own speed: who settled the part gives its class."""

    accuracy: float


class BadlyLit(Settings):
    """Parts more than half a stop off the usual light, at the line's own speed."""

    parts: int
    guarded: int = Field(description="Rejected by the exposure guard.")
    defective: int
    escapes: int
    good: int
    overkills: int


class Timing(Settings):
    """Milliseconds of engine time, alternating in one run."""

    gate_ms: float
    classifier_ms: float
    gate_p999_ms: float = Field(description="As the loop would measure it when it starts.")
    classifier_p999_ms: float
    real_time: bool = Field(description="False: measured without SCHED_FIFO, a busy machine is in the p99.9.")


class Evaluation(Settings):
    """Everything that one evaluation found."""

    source: str
    date: datetime.date
    parts: int
    data_sha256: str
    engines: dict[str, str]
    certificate: str
    speed_m_per_s: float = Field(description="Of `hybrid`, `escapes` and `overkills`.")
    classifier: ClassifierFigures
    gate: GateFigures
    hybrid: HybridFigures
    defective: int
    good: int
    escapes: int = Field(description="Of parts in the usual light, like `hybrid` and `routing`.")
    overkills: int
    badly_lit: BadlyLit
    int8_drop_points: float = Field(
        description="Classifier, float32 minus INT8, in points; from its manifest."
    )
    by_exposure: dict[str, float] = Field(description="EV, to the next half → accuracy of the classifier.")
    timing: Timing
    routing: list[SpeedRow]


def evaluate(
    p: Predictions,
    *,
    line: LineConfig,
    gate: EngineManifest,
    classifier: EngineManifest,
    speeds: Sequence[float],
    source: str,
    timing: LineTiming,
    boxes: tuple[float | None, float | None],
) -> Evaluation:
    """All figures; the speed rows in the order of ``speeds``."""
    usual = np.abs(p.exposure_ev) <= USUAL_EV
    if not usual.any():
        raise CalibrationError("no part in the usual light (within ±0.5 EV); expected some to route")
    in_light = p.pick(usual)
    own = speed_row(in_light, line, gate, line.conveyor.m_per_s, timing)
    right = p.classifier.argmax(1) == p.class_id
    measured = classifier.measured
    engines = {"gate": gate.sha256, "classifier": classifier.sha256}
    return Evaluation(
        source=source,
        date=datetime.datetime.now(datetime.timezone.utc).date(),
        parts=len(p),
        data_sha256=p.sha256,
        engines=engines,
        certificate=line.certificate_state(engines),
        speed_m_per_s=line.conveyor.m_per_s,
        classifier=ClassifierFigures(
            accuracy=round(float(right.mean()), 6), per_class=_per_class(right, p, classifier)
        ),
        gate=GateFigures(
            accuracy=round(float((p.gate.argmax(1) == p.class_id).mean()), 6),
            per_class=_per_class(p.gate.argmax(1) == p.class_id, p, gate),
            box_iou=boxes[0],
            map50=boxes[1],
        ),
        hybrid=HybridFigures(accuracy=own.accuracy),
        defective=own.defective,
        good=own.good,
        escapes=own.escapes,
        overkills=own.overkills,
        badly_lit=_badly_lit(p.pick(~usual), line, gate, timing),
        int8_drop_points=round(100 * (measured.accuracy_fp32 - measured.accuracy_int8), 3),
        by_exposure=_by_exposure(right, p),
        timing=Timing(
            gate_ms=round(float(np.median(p.gate_ms)), 4),
            classifier_ms=round(float(np.median(p.classifier_ms)), 4),
            gate_p999_ms=round(timing.gate_p999_ms, 4),
            classifier_p999_ms=round(timing.classifier_p999_ms, 4),
            real_time=timing.real_time,
        ),
        routing=[speed_row(in_light, line, gate, speed, timing) for speed in speeds],
    )


def _badly_lit(p: Predictions, line: LineConfig, gate: EngineManifest, timing: LineTiming) -> BadlyLit:
    if not len(p):
        return BadlyLit(parts=0, guarded=0, defective=0, escapes=0, good=0, overkills=0)
    row = speed_row(p, line, gate, line.conveyor.m_per_s, timing)
    return BadlyLit(
        parts=row.parts,
        guarded=round(row.guard_share * row.parts),
        defective=row.defective,
        escapes=row.escapes,
        good=row.good,
        overkills=row.overkills,
    )


def _per_class(right: NDArray[np.bool_], p: Predictions, manifest: EngineManifest) -> dict[str, float]:
    return {
        name: round(float(right[here].mean()), 6)
        for index, name in enumerate(manifest.classes)
        if (here := p.class_id == index).any()
    }


def _by_exposure(right: NDArray[np.bool_], p: Predictions) -> dict[str, float]:
    half = np.round(p.exposure_ev * 2) / 2 + 0.0
    return {f"{ev:+g}": round(float(right[half == ev].mean()), 6) for ev in np.unique(half)}
