"""The whole way from a float model to INT8, measured: drop, parity, speed, and what exposure samples are worth."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from engines.calibration_set import Coverage
from engines.judge import Drop, Measure
from engines.parity import Parity, outputs
from engines.precision import PrecisionPlan
from engines.quantize import GRAPHS, Int8Graphs, int8_graphs
from tools.measure import in_turn_ms
from tools.quantise.calibrate import Calibrated, Exam, Tried, parity_of
from tools.quantise.subject import Subject

EV_EDGES = (-2.01, -1.0, -0.5, 0.5, 1.0, 2.01)
_RUNS = 60


@dataclass(frozen=True)
class Exposed:
    """One exposure band of the examination."""

    band: str
    pictures: int
    fp32: float
    int8: float
    without_exposure: float


@dataclass(frozen=True)
class Report:
    """Shares are 0 to 1. Of the two INT8 graphs the worse one gives ``int8_accuracy`` and the drops."""

    model: str
    data: str
    measure: Measure
    pictures: int
    calibration_pictures: int
    method: str
    fp32_accuracy: float
    int8_accuracy: float
    int8_drop_points: float
    int8_drop_interval: tuple[float, float]
    without_exposure_drop_points: float
    exposure_gain_points: float
    """What exposure samples in the calibration win; below 0: they cost."""
    exposure_gain_interval: tuple[float, float]
    exposure_samples_help: bool
    """The whole 95 % interval of the gain is above 0."""
    graphs: dict[str, float]
    """Share right of each INT8 graph."""
    by_exposure: tuple[Exposed, ...]
    parity: Parity
    """Of the graph that gave ``int8_accuracy``, beside the float graph."""
    parity_of: dict[str, Parity]
    u8s8_speedup: float
    latency_ms: dict[str, float]
    """Medians of alternating runs, one thread."""
    calibration_seconds: float
    coverage: Coverage
    methods: tuple[Tried, ...]
    plan: dict[str, Any]


def make_report(
    subject: Subject,
    plan: PrecisionPlan,
    sets: tuple[Calibrated, Calibrated],
    exam: Exam,
    *,
    tried: Sequence[Tried],
    data: str,
) -> tuple[Report, Int8Graphs]:
    """``sets``: calibrated with and without exposure samples."""
    began = time.monotonic()
    graphs = int8_graphs(subject.model, plan, sets[0].observed.scales(plan.calibration))
    seconds = sets[0].seconds + time.monotonic() - began
    plain = int8_graphs(subject.model, plan, sets[1].observed.scales(plan.calibration))
    judge = exam.judge
    before = judge.right(exam.reference)
    answers = {name: outputs(getattr(graphs, name), exam.inputs) for name in GRAPHS}
    right = {name: judge.right(found) for name, found in answers.items()}
    worse = min(GRAPHS, key=lambda name: right[name].mean())
    without = judge.right(outputs(getattr(plain, worse), exam.inputs))
    drop, gain = Drop.between(before, right[worse]), Drop.between(right[worse], without)
    parities = {name: parity_of(judge, found) for name, found in answers.items()}
    latency = latencies_ms([subject.model, graphs.u8s8], exam.inputs[0])
    report = Report(
        model=subject.path.name,
        data=data,
        measure=judge.measure,
        pictures=len(before),
        calibration_pictures=sets[0].observed.pictures,
        method=plan.calibration,
        fp32_accuracy=float(before.mean()),
        int8_accuracy=float(right[worse].mean()),
        int8_drop_points=drop.points,
        int8_drop_interval=(drop.low, drop.high),
        without_exposure_drop_points=Drop.between(before, without).points,
        exposure_gain_points=gain.points,
        exposure_gain_interval=(gain.low, gain.high),
        exposure_samples_help=gain.low > 0,
        graphs={name: float(found.mean()) for name, found in right.items()},
        by_exposure=by_exposure(exam.pictures.exposure_ev, before, right[worse], without),
        parity=parities[worse],
        parity_of=parities,
        u8s8_speedup=latency[0] / latency[1],
        latency_ms={"fp32": latency[0], "u8s8": latency[1]},
        calibration_seconds=seconds,
        coverage=sets[0].coverage,
        methods=tuple(tried),
        plan=plan.model_dump(mode="json", by_alias=True),
    )
    return report, graphs


def by_exposure(
    ev: NDArray[np.float32], fp32: NDArray[np.bool_], int8: NDArray[np.bool_], without: NDArray[np.bool_]
) -> tuple[Exposed, ...]:
    """Bands that hold a picture."""
    rows = []
    for low, high in pairwise(EV_EDGES):
        inside = (ev >= low) & (ev < high)
        if inside.any():
            shares = (float(found[inside].mean()) for found in (fp32, int8, without))
            rows.append(Exposed(f"{low:+.1f}..{high:+.1f}", int(inside.sum()), *shares))
    return tuple(rows)


def latencies_ms(models: Sequence[onnx.ModelProto], picture: NDArray[np.float32]) -> list[float]:
    """Medians, one thread, in alternation, so that a busy machine disturbs all alike."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    sessions = [
        ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]) for model in models
    ]
    calls = [partial(one.run, None, {one.get_inputs()[0].name: picture}) for one in sessions]
    return [float(value) for value in np.median(in_turn_ms(calls, _RUNS), axis=0)]
