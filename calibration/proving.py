"""The candidate as an engine: latency beside the old one, what INT8 costs, and how exposure moves it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from calibration.bank import Bank
from calibration.pictures import as_bgr, read_frame
from calibration.prove import in_float
from calibration.taps import Backbone, Extractor
from edge._core import PixelFormat
from engines.calibration_set import expose

Say = Callable[[str, float], None]
SWEEP_EV = (-1.0, -0.5, 0.0, 0.5, 1.0)
_RUNS = 60
_PARTS = 60
"""Of the exam, for sweep and INT8: spread evenly over it."""


@dataclass(frozen=True)
class Trial:
    """Times in milliseconds, one thread, old and new in turn."""

    before_p50_ms: float
    before_p99_ms: float
    after_p50_ms: float
    after_p99_ms: float
    accuracy_int8: float
    accuracy_float: float
    """Same weights, activations not rounded."""
    same_answer: float
    """Share of parts on which both say the same class."""
    sweep_ev: tuple[float, ...]
    sweep_before: tuple[float, ...]
    sweep_after: tuple[float, ...]
    parts: int

    def in_words(self) -> dict[str, str]:
        """For the report."""
        steps = zip(self.sweep_ev, self.sweep_before, self.sweep_after, strict=True)
        return {
            "latency": f"p50 {self.before_p50_ms:.2f} → {self.after_p50_ms:.2f} ms, p99 {self.before_p99_ms:.2f} → "
            f"{self.after_p99_ms:.2f} ms ({_RUNS} runs in turn, this machine, as busy as it is)",
            "INT8 beside float": f"{100 * self.accuracy_int8:.1f} % and {100 * self.accuracy_float:.1f} % right on "
            f"{self.parts} parts; same class on {100 * self.same_answer:.1f} %",
            "exposure": ", ".join(f"{ev:+g} EV {100 * b:.1f} → {100 * a:.1f} %" for ev, b, a in steps),
        }


def try_out(backbone: Backbone, candidate: Path, exam: Bank, say: Say) -> Trial:
    """Runs both engines on up to 60 parts of the exam."""
    before, after = (_session(onnx.load(p)) for p in (backbone.manifest.model_path, candidate))
    floating = _session(in_float(onnx.load(candidate)))
    eye = Extractor(backbone)
    # evenly over classes: the exam comes in the order of the data set
    order = np.argsort(exam.labels, kind="stable")
    rows = order[np.unique(np.linspace(0, len(order) - 1, min(_PARTS, len(order))).astype(int))]
    right = {ev: [0, 0] for ev in SWEEP_EV}
    same = float_right = 0
    for number, (picture, label) in enumerate(zip(exam.pictures(rows), exam.labels[rows], strict=True)):
        bgr = as_bgr(*read_frame(picture))
        for ev in SWEEP_EV:
            shown = expose(bgr, ev, np.random.default_rng([number, 9]))
            flat = np.ascontiguousarray(shown).reshape(-1)
            height, width = shown.shape[:2]
            eye.preprocess.into(flat, width, height, 3 * width, PixelFormat.BGR8, eye.picture)
            old, new = before(eye.picture), after(eye.picture)
            right[ev][0] += int(old == label)
            right[ev][1] += int(new == label)
            if ev == 0:
                real = floating(eye.picture)
                same += int(real == new)
                float_right += int(real == label)
        say("exposure sweep", (number + 1) / len(rows))
    (before_p50, before_p99), (after_p50, after_p99) = _times(before, after, eye.picture)
    n = max(1, len(rows))
    return Trial(
        before_p50,
        before_p99,
        after_p50,
        after_p99,
        right[0.0][1] / n,
        float_right / n,
        same / n,
        SWEEP_EV,
        tuple(right[ev][0] / n for ev in SWEEP_EV),
        tuple(right[ev][1] / n for ev in SWEEP_EV),
        len(rows),
    )


def _session(model: onnx.ModelProto) -> Callable[[Any], int]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda picture: int(session.run(None, {name: picture})[0].argmax())


def _times(
    before: Callable[[Any], int], after: Callable[[Any], int], picture: Any
) -> list[tuple[float, float]]:
    import time

    took: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(_RUNS):
        for which, engine in enumerate((before, after)):
            start = time.perf_counter_ns()
            engine(picture)
            took[which].append((time.perf_counter_ns() - start) / 1e6)
    return [(float(np.median(took[which])), float(np.percentile(took[which], 99))) for which in (0, 1)]
