"""Post-training static quantisation for ONNX Runtime on a CPU: U8S8, as Q/DQ nodes."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from engines.errors import QuantizeError

_QUANTISED_OPS = ("Conv", "Add", "Relu", "MaxPool", "GlobalAveragePool")
_HEAD_OPS = ("Gemm", "MatMul", "Softmax")


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, batches: Iterable[NDArray[np.float32]]) -> None:
        self._name = name
        self._batches: Iterator[NDArray[np.float32]] = iter(batches)
        self.count = 0

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        self.count += 1
        return {self._name: batch}


def head_nodes(path: Path) -> list[str]:
    """Names of the nodes that stay float32: the final fully connected layer and the softmax."""
    return [node.name for node in onnx.load(path).graph.node if node.op_type in _HEAD_OPS]


def quantize_u8s8(
    fp32_path: Path,
    out_path: Path,
    batches: Iterable[NDArray[np.float32]],
    *,
    exclude: Sequence[str],
    reduce_range: bool = True,
) -> None:
    """Writes the quantised graph: activations uint8 asymmetric per tensor, weights int8 per output channel.

    ``batches`` are inputs of the graph's own shape; the activation ranges are their extremes (MinMax).
    ``exclude`` names the nodes that stay float32. ``reduce_range`` keeps weights to 7 bits: CPUs without VNNI
    add pairs of u8×s8 products in 16 bits and would saturate. The graph is simplified first (batch norm is
    folded into the convolutions). Raises QuantizeError for an unusable graph or an empty calibration set.
    """
    with tempfile.TemporaryDirectory() as folder:
        simplified = Path(folder) / "simplified.onnx"
        try:
            quant_pre_process(str(fp32_path), str(simplified), skip_symbolic_shape=True)
        except Exception as error:  # the library raises whatever its passes raise
            raise QuantizeError(f"{fp32_path}: not a graph that can be quantised: {error}") from error
        graph = onnx.load(simplified).graph
        reader = _Reader(graph.input[0].name, batches)
        known = {node.name for node in graph.node}
        missing = [name for name in exclude if name not in known]
        if missing:
            raise QuantizeError(
                f"{fp32_path}: exclude names {missing}, expected nodes of the simplified graph"
            )
        first = reader.get_next()
        if first is None:
            raise QuantizeError(f"{fp32_path}: no calibration batch; expected at least one rendered part")
        quantize_static(
            str(simplified),
            str(out_path),
            _Chained(first, reader),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=list(_QUANTISED_OPS),
            nodes_to_exclude=list(exclude),
        )


class _Chained(CalibrationDataReader):  # type: ignore[misc]
    """The batch already taken, then the others."""

    def __init__(self, first: dict[str, NDArray[np.float32]], rest: _Reader) -> None:
        self._first: dict[str, NDArray[np.float32]] | None = first
        self._rest = rest

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        first, self._first = self._first, None
        return first if first is not None else self._rest.get_next()
