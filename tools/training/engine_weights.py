"""A network begins with what a finished engine knows: its weights are read back from the ONNX graph.

A shipped engine is all that is kept of a training. Its graph is quantised and its batch norms are folded, so weights
come back from int8, and every batch norm is set such that its layer gives what it gave. What quantisation took away is
learnt again in a few hundred steps.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from tools.errors import TrainError

_AGREEMENT = 0.95
"""Correlation of the outputs: below, the graph is another network with layers of the same shapes."""


@dataclass(frozen=True)
class Layer:
    """A convolution or fully connected layer of a graph; ``module`` as torch named it when it was exported."""

    module: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def take_over(net: nn.Module, graph: Path, examples: Tensor, exported: nn.Module) -> None:
    """Fills all layers of ``net`` from the engine ``graph``; ``exported`` is ``net`` with the graph's outputs.

    ``examples`` N×3×H×W, normalised: batch norms are set by them, and both must agree on them. Raises TrainError when a
    layer finds no partner or they do not agree.
    """
    layers = layers_of(graph)
    for name, module in net.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            last = _taken(layers, name, module, graph)
            if module.bias is not None:
                _fill(module.bias, last.bias)
        elif isinstance(module, nn.BatchNorm2d):
            give_back(module, torch.from_numpy(last.bias.copy()))
    exported.eval()
    with torch.no_grad():
        ours = exported(examples).numpy()
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    theirs = np.concatenate([session.run(None, {name: picture[None]})[0] for picture in examples.numpy()])
    agreed = float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]) if ours.size == theirs.size else 0.0
    if not agreed >= _AGREEMENT:
        raise TrainError(
            f"{graph}: with its weights the network's outputs correlate with the graph's by {agreed:.3f}, expected "
            f"{_AGREEMENT}: it is an engine of another network; choose its --model or --backbone"
        )


def _taken(layers: list[Layer], name: str, module: nn.Conv2d | nn.Linear, graph: Path) -> Layer:
    """By name, else the first that is left of its shape."""
    shape = tuple(module.weight.shape)
    fitting = [layer for layer in layers if layer.weight.shape == shape]
    found = next((layer for layer in fitting if layer.module == name), fitting[0] if fitting else None)
    if found is None:
        raise TrainError(
            f"{graph}: no layer of shape {shape} is left for {name}; expected an engine of the same network"
        )
    layers.remove(found)
    _fill(module.weight, found.weight)
    return found


def _fill(parameter: Tensor, values: NDArray[np.float32]) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values.copy()))


def give_back(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """The next forward pass measures the input of ``norm`` and sets it to ``x + bias`` for that input."""

    def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.data.copy_((variance + norm.eps).sqrt())
        norm.bias.data.copy_(mean + bias)
        handle.remove()

    handle = norm.register_forward_pre_hook(measure)


def engine_model(path: Path) -> onnx.ModelProto:
    """Raises TrainError: no ONNX."""
    try:
        return onnx.load(path)
    except Exception as error:  # protobuf raises what it likes
        raise TrainError(f"{path}: not an ONNX file ({error}); expected an engine") from error


def layers_of(path: Path) -> list[Layer]:
    """In the graph's order, as float32. Raises TrainError: no ONNX, weights that are not constant."""
    graph = engine_model(path).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}

    def value(name: str) -> NDArray[np.float32]:
        if name in constants:
            return np.asarray(constants[name], np.float32)
        node = makers.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            raise TrainError(
                f"{path}: {name} comes from {node.op_type if node else 'outside'}; expected constant weights"
            )
        stored, scale = constants[node.input[0]], np.asarray(constants[node.input[1]], np.float32)
        shape = (-1, *(1,) * (stored.ndim - 1)) if scale.ndim else ()
        return np.asarray(stored.astype(np.float32) * scale.reshape(shape), np.float32)

    return [
        Layer(module_of(node.name), value(node.input[1]), value(node.input[2]))
        for node in graph.node
        if node.op_type in {"Conv", "Gemm"} and len(node.input) > 2
    ]


def module_of(node: str) -> str:
    """``/net/stem/stem.4/body/body.0/Conv`` → ``stem.4.body.0``: torch repeats the way to children of a sequence, and
    the first step is what was wrapped for the export."""
    way: list[str] = []
    for step in node.strip("/").split("/")[1:-1]:
        if way and step.startswith(way[-1] + "."):
            way[-1] = step
        else:
            way.append(step)
    return ".".join(way)
