"""Reading a foreign ONNX file, refusing what cannot become an engine, and walking its nodes."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, version_converter
from onnxruntime.quantization.shape_inference import quant_pre_process

from engines.errors import GraphError

OPSET = 17
IR_VERSION = 8
_OLDEST, _NEWEST = 9, 21


def load_simplified(path: Path) -> onnx.ModelProto:
    """The graph with batch norm folded, every node named, opset 17 and IR 8.

    Raises GraphError: no such file, not ONNX, external data missing, dynamic shape, foreign opset, NaN weights.
    """
    model = _read(path)
    _check_opset(path, model)
    _check_input(path, model)
    _check_weights(path, model)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "simplified.onnx"
        try:
            quant_pre_process(model, str(out), skip_symbolic_shape=True)
            simplified = onnx.load(out)
            if _opset(simplified) != OPSET:
                simplified = version_converter.convert_version(simplified, OPSET)
        except Exception as error:  # the library raises whatever its passes raise
            raise GraphError(
                f"{path}: cannot be simplified to opset {OPSET} ({str(error).splitlines()[0]}); "
                f"export the model again with opset {OPSET}"
            ) from error
    default = [item for item in simplified.opset_import if item.domain in {"", "ai.onnx"}]
    del simplified.opset_import[:]
    simplified.opset_import.extend(default)
    simplified.ir_version = IR_VERSION
    for index, node in enumerate(simplified.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return simplified


def initializers(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    """Constant tensors by name."""
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The node that makes each tensor."""
    return {name: node for node in model.graph.node for name in node.output}


def input_shape(model: onnx.ModelProto) -> tuple[int, ...]:
    """Shape of the only input that is not a weight, such as (1, 3, 128, 128)."""
    return tuple(dim.dim_value for dim in _inputs(model)[0].type.tensor_type.shape.dim)


def input_name(model: onnx.ModelProto) -> str:
    """Name of the only input that is not a weight."""
    return str(_inputs(model)[0].name)


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {item.name for item in model.graph.initializer}
    return [item for item in model.graph.input if item.name not in weights]


def _read(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except FileNotFoundError as error:
        where = "the file" if not path.exists() else "its external data"
        raise GraphError(
            f"{path}: {where} is missing ({error}); put the weights beside the model, or export one file"
        ) from error
    except Exception as error:  # protobuf and the checker raise their own
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        mend = (
            "put the weights beside the model, or export one file"
            if "external" in what or "doesn't exist" in what
            else "expected an ONNX model; export it again"
        )
        raise GraphError(f"{path}: cannot be read ({what}); {mend}") from error


def _opset(model: onnx.ModelProto) -> int:
    return next((int(item.version) for item in model.opset_import if item.domain in {"", "ai.onnx"}), 0)


def _check_opset(path: Path, model: onnx.ModelProto) -> None:
    if not _OLDEST <= _opset(model) <= _NEWEST:
        raise GraphError(
            f"{path}: opset {_opset(model)}, expected {_OLDEST} to {_NEWEST}; export the model with opset {OPSET}"
        )


def _check_input(path: Path, model: onnx.ModelProto) -> None:
    inputs = _inputs(model)
    if len(inputs) != 1:
        raise GraphError(
            f"{path}: inputs are {[i.name for i in inputs]}, expected one picture; export only that"
        )
    shape = input_shape(model)
    if len(shape) != 4 or shape[0] != 1 or not all(shape):
        raise GraphError(
            f"{path}: input '{inputs[0].name}' has shape {shape} (0 = dynamic), expected a fixed (1, channels, height, "
            "width); export with batch size 1 and without dynamic axes"
        )


def _check_weights(path: Path, model: onnx.ModelProto) -> None:
    for name, value in initializers(model).items():
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            count = int((~np.isfinite(value)).sum())
            raise GraphError(
                f"{path}: weight '{name}' holds {count} of {value.size} values that are NaN or infinite; "
                "the training diverged or the file is damaged: export a sound checkpoint"
            )
