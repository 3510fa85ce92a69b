"""The report of ``edge evaluate``."""

import datetime
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from calibration.predictions import Predictions
from edge.config import LineConfig
from edge.inspection.certificate import certificate_state
from edge.settings import Settings
from engines.manifest import EngineManifest
from tools.evaluate.asking import LineTiming
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
    escapes: int
    overkills: int
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
) -> Evaluation:
    """All figures; the speed rows in the order of ``speeds``."""
    own = speed_row(p, line, gate, line.conveyor.m_per_s, timing)
    right = p.classifier.argmax(1) == p.class_id
    measured = classifier.measured
    engines = {"gate": gate.sha256, "classifier": classifier.sha256}
    return Evaluation(
        source=source,
        date=datetime.datetime.now(datetime.timezone.utc).date(),
        parts=len(p),
        data_sha256=p.sha256,
        engines=engines,
        certificate=certificate_state(line.certificate, engines, line.decides_sha256),
        speed_m_per_s=line.conveyor.m_per_s,
        classifier=ClassifierFigures(
            accuracy=round(float(right.mean()), 6), per_class=_per_class(right, p, classifier)
        ),
        gate=GateFigures(
            accuracy=round(float((p.gate.argmax(1) == p.class_id).mean()), 6),
            per_class=_per_class(p.gate.argmax(1) == p.class_id, p, gate),
        ),
        hybrid=HybridFigures(accuracy=own.accuracy),
        defective=own.defective,
        good=own.good,
        escapes=own.escapes,
        overkills=own.overkills,
        int8_drop_points=round(100 * (measured.accuracy_fp32 - measured.accuracy_int8), 3),
        by_exposure=_by_exposure(right, p),
        timing=Timing(
            gate_ms=round(float(np.median(p.gate_ms)), 4),
            classifier_ms=round(float(np.median(p.classifier_ms)), 4),
            gate_p999_ms=round(timing.gate_p999_ms, 4),
            classifier_p999_ms=round(timing.classifier_p999_ms, 4),
            real_time=timing.real_time,
        ),
        routing=[speed_row(p, line, gate, speed, timing) for speed in speeds],
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
