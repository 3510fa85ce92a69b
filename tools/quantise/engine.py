"""The manifest beside ``u8s8.onnx``: with it the calibrated graph is an engine that a line can load."""

import hashlib

import numpy as np
import onnx

from engines.manifest import EngineManifest, MeasuredSpec, PrecisionSpec, manifest_yaml
from engines.parity import outputs
from tools.quantise.calibrate import Exam
from tools.quantise.report import latencies_ms
from tools.quantise.subject import Subject


def engine_manifest(
    subject: Subject, base: EngineManifest, graph: onnx.ModelProto, exam: Exam, *, file: str, seed: int
) -> str | None:
    """``base`` with this model's name, hash, precision and figures; None where labels do not fit its answers.

    ``seed``: by which the pictures of the exam were chosen.
    """
    judge = exam.judge
    if judge.measure != "accuracy":
        return None
    content = graph.SerializeToString()
    answers = outputs(graph, exam.inputs)
    latency = latencies_ms([subject.model, graph], exam.inputs[0])
    found = judge.decode(answers).argmax(axis=1)
    good, empty = (base.classes.index(name) for name in (base.good_class, base.empty_class))
    defective = ~np.isin(judge.labels, (good, empty))
    measured = MeasuredSpec(
        accuracy_fp32=round(float(judge.right(exam.reference).mean()), 5),
        accuracy_int8=round(float(judge.right(answers).mean()), 5),
        escape_rate_at_argmax=round(float((found == good)[defective].mean()) if defective.any() else 0.0, 5),
        latency_ms_fp32=round(latency[0], 3),
        latency_ms_int8=round(latency[1], 3),
        parts=len(exam.inputs),
        seed=seed,
    )
    changed = {
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
        "precision": PrecisionSpec(scheme="u8s8", head="float32"),
        "measured": measured,
    }
    return manifest_yaml(base.model_copy(update=changed))
