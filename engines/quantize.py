"""From a float ONNX to INT8: both graphs come from one precision plan and one set of scales."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.entropy import AbsHistogram
from engines.graph import load_simplified
from engines.precision import PrecisionPlan
from engines.qdq import cpu_u8s8, tensorrt_qdq
from engines.scales import Scales, observe
from engines.whole_file import write_whole

CPU_PLAN = PrecisionPlan(calibration="minmax")
"""What the trainers ship for ONNX Runtime."""


GRAPHS = ("qdq", "u8s8")
"""Fields of ``Int8Graphs``."""


@dataclass(frozen=True)
class Int8Graphs:
    """The same decisions in two dialects."""

    qdq: onnx.ModelProto
    """For TensorRT 8.5 to 11; on a CPU only a check."""
    u8s8: onnx.ModelProto
    """For ONNX Runtime on a CPU; what the plan has in FP16 is float32 there."""


def int8_graphs(model: onnx.ModelProto, plan: PrecisionPlan, scales: Scales) -> Int8Graphs:
    """``model`` simplified. Raises PlanError: the plan or the scales belong to another graph, FP16 overflows."""
    precision = plan.resolve(model)
    return Int8Graphs(tensorrt_qdq(model, precision, scales), cpu_u8s8(model, precision, scales))


def quantize_u8s8(
    fp32_path: Path,
    out_path: Path,
    batches: Iterable[NDArray[np.float32]],
    histogram: Callable[[], AbsHistogram],
    plan: PrecisionPlan = CPU_PLAN,
) -> None:
    """Writes the graph for ONNX Runtime on a CPU; ``batches`` and ``histogram`` as in ``observe``.

    Raises GraphError, CalibrationError, PlanError.
    """
    model = load_simplified(fp32_path)
    scales = observe(model, batches, histogram).scales(plan.calibration)
    write_whole(out_path, cpu_u8s8(model, plan.resolve(model), scales).SerializeToString())
