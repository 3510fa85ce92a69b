"""Graph surgery: the artifact for TensorRT 8.5–11 and the fast graph for CPUs, from one plan and one set of scales."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from engines.errors import PlanError
from engines.graph import initializers, producers
from engines.precision import Precision
from engines.scales import Scales

_CPU_OPS = ("Conv", "Add", "Relu", "MaxPool", "GlobalAveragePool", "Mul", "Concat")
_FP16_MAX = 65504.0


@dataclass
class _Surgery:
    """New nodes and constants; ``pairs`` holds one Q/DQ pair per tensor, shared by its readers."""

    model: onnx.ModelProto
    scales: Scales
    nodes: list[onnx.NodeProto]
    pairs: dict[str, str]

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def pair(self, tensor: str, scale: NDArray[np.float32], axis: int | None) -> str:
        """Q → DQ with a zero point that is all zero, FP32 scales."""
        if tensor in self.pairs:
            return self.pairs[tensor]
        scale_name = self.constant(f"{tensor}/scale", scale)
        zero = self.constant(f"{tensor}/zero_point", np.zeros(scale.shape, np.int8))
        key = {} if axis is None else {"axis": axis}
        quantised, out = f"{tensor}/int8", f"{tensor}/dequantised"
        for op, source, target in (
            ("QuantizeLinear", tensor, quantised),
            ("DequantizeLinear", quantised, out),
        ):
            self.nodes.append(
                helper.make_node(op, [source, scale_name, zero], [target], name=f"{tensor}/{op}", **key)
            )
        self.pairs[tensor] = out
        return out

    def activation(self, tensor: str) -> str:
        found = self.scales.ranges.get(tensor)
        if found is None:
            raise PlanError(
                f"no scale for tensor '{tensor}'; the scales belong to another graph: run 'edge engines calibrate'"
            )
        return self.pair(tensor, np.array(found.scale, np.float32), None)


def tensorrt_qdq(model: onnx.ModelProto, precision: dict[str, Precision], scales: Scales) -> onnx.ModelProto:
    """INT8 by symmetric Q/DQ on the inputs and weights of convolutions, FP16 by typed nodes, bias FP32.

    No Q/DQ stands between Conv and ReLU; of a residual Add only the shortcut is quantised. ``model`` is a simplified
    graph. Raises PlanError: a scale is missing, or a weight of an FP16 node overflows.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    constants, made_by = initializers(model), producers(model)
    surgery = _Surgery(out, scales, [], {})
    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        kind = precision[node.name]
        if kind == "int8" and node.op_type == "Conv" and node.input[1] in constants:
            copy.input[0] = surgery.activation(node.input[0])
            weight = constants[node.input[1]].astype(np.float32)
            copy.input[1] = surgery.pair(node.input[1], weight_scales(weight), 0)
        elif kind == "int8" and node.op_type == "Add" and not set(node.input) & set(constants):
            shortcut = _shortcut(node, made_by)
            if shortcut is not None:
                copy.input[shortcut] = surgery.activation(node.input[shortcut])
        surgery.nodes.append(copy)
    del out.graph.node[:]
    out.graph.node.extend(surgery.nodes)
    half = {name for name, kind in precision.items() if kind == "fp16"}
    _make_half(out, half, constants)
    del out.graph.value_info[:]
    _drop_unused(out)
    onnx.checker.check_model(out, full_check=True)
    return out


def weight_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """amax / 127 per output channel (axis 0); a dead channel gets 1, which represents its zeros exactly."""
    amax = np.abs(weight.reshape(weight.shape[0], -1)).max(axis=1)
    return np.where(amax > 0, np.maximum(amax / 127, np.finfo(np.float32).tiny), 1.0).astype(np.float32)


def dead_channels(model: onnx.ModelProto) -> dict[str, int]:
    """Convolutions with output channels whose weights are all zero, and how many."""
    constants = initializers(model)
    weights = {
        n.name: constants[n.input[1]]
        for n in model.graph.node
        if n.op_type == "Conv" and n.input[1] in constants
    }
    counts = {name: int((~np.any(w.reshape(w.shape[0], -1), axis=1)).sum()) for name, w in weights.items()}
    return {name: count for name, count in counts.items() if count}


def cpu_u8s8(
    model: onnx.ModelProto,
    precision: dict[str, Precision],
    scales: Scales,
    *,
    reduce_range: bool = True,
) -> onnx.ModelProto:
    """Activations uint8 asymmetric, weights int8 per channel, what is not INT8 in the plan stays float32.

    Ranges are the extremes seen, clipped at the amax of ``scales``. ``reduce_range`` keeps weights to 7 bits: CPUs
    without VNNI add pairs of u8×s8 products in 16 bits and would saturate.
    """
    ranges = {
        name: (
            np.array(max(item.low, -item.amax), np.float32),
            np.array(min(item.high, item.amax) or item.amax, np.float32),
        )
        for name, item in scales.ranges.items()
    }
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    quantizer = QDQQuantizer(
        copy,
        True,
        reduce_range,
        QuantType.QInt8,
        QuantType.QUInt8,
        TensorsData(CalibrationMethod.MinMax, ranges),
        [],
        [name for name, kind in precision.items() if kind != "int8"],
        list(_CPU_OPS),
        {},
    )
    quantizer.quantize_model()
    # It appends what it inserts; ONNX wants each node behind those that it takes from.
    quantizer.model.topological_sort()
    result: onnx.ModelProto = quantizer.model.model
    return result


def _shortcut(node: onnx.NodeProto, made_by: dict[str, onnx.NodeProto]) -> int | None:
    """Index of the input that does not come straight from a convolution; of two convolutions the second."""
    direct = [name in made_by and made_by[name].op_type == "Conv" for name in node.input]
    if not any(direct):
        return None
    return 1 if direct[0] else 0


def _make_half(out: onnx.ModelProto, half: set[str], constants: dict[str, NDArray[np.generic]]) -> None:
    """Casts at the border of the FP16 nodes; their float weights become FP16 copies."""
    nodes: list[onnx.NodeProto] = []
    made_half: set[str] = set()
    cast: dict[str, str] = {}
    given = {item.name for item in out.graph.output}
    floats = _float_tensors(out)
    read_high = {name for node in out.graph.node if node.name not in half for name in node.input} | given
    for node in out.graph.node:
        if node.name in half:
            for index, name in enumerate(node.input):
                if name in made_half:
                    node.input[index] = f"{name}/fp16"
                elif name in floats:
                    node.input[index] = _half_input(out, nodes, cast, name, constants)
            produced = [name for name in node.output if name in floats]
            for index, name in enumerate(node.output):
                if name in floats:
                    node.output[index] = f"{name}/fp16"
            made_half.update(produced)
            nodes.append(node)
            nodes += [
                _cast(f"{name}/fp16", name, TensorProto.FLOAT) for name in produced if name in read_high
            ]
        else:
            nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del out.graph.node[:]
    out.graph.node.extend(kept)


def _half_input(
    out: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    cast: dict[str, str],
    name: str,
    constants: dict[str, NDArray[np.generic]],
) -> str:
    target = f"{name}/fp16"
    if name in cast:
        return cast[name]
    if name in constants:
        value = constants[name]
        if np.abs(value).max(initial=0) > _FP16_MAX:
            raise PlanError(
                f"weight '{name}' reaches {np.abs(value).max():g}, FP16 ends at {_FP16_MAX:g}; "
                "give its node 'precision: fp32' in the plan"
            )
        out.graph.initializer.append(numpy_helper.from_array(value.astype(np.float16), target))
    else:
        nodes.append(_cast(name, target, TensorProto.FLOAT16))
    cast[name] = target
    return target


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}/Cast", to=to)


def _float_tensors(out: onnx.ModelProto) -> set[str]:
    graph = onnx.shape_inference.infer_shapes(out).graph
    typed = {i.name: i.type.tensor_type.elem_type for i in (*graph.value_info, *graph.output, *graph.input)}
    typed |= {item.name: item.data_type for item in graph.initializer}
    return {name for name, kind in typed.items() if kind == TensorProto.FLOAT}


def _drop_unused(out: onnx.ModelProto) -> None:
    read = {name for node in out.graph.node for name in node.input} | {i.name for i in out.graph.output}
    kept = [item for item in out.graph.initializer if item.name in read]
    del out.graph.initializer[:]
    out.graph.initializer.extend(kept)
