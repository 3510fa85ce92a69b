"""A plain backbone begins with what the plain classifier gate has learned (``engines/models/gate.onnx``).

A detector from scratch spends most of its time on features; those of the classifier are there already. The graph is
quantised and its batch norms are folded, so weights are read back from int8, and the batch norms are set such that
every layer gives what it gave.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from tools.detector.backbones import PlainBackbone
from tools.detector.errors import DetectorError

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


def warm_start(backbone: nn.Module, graph: Path, example: Tensor) -> int:
    """Layers taken over, from the first on, as far as the shapes agree. ``example``: normalised pictures.

    Raises DetectorError when the graph's first convolution does not fit.
    """
    if not isinstance(backbone, PlainBackbone):
        raise DetectorError("--backbone-from fits the plain backbone; leave it out, or use --backbone plain")
    layers = _convolutions(graph)
    taken = 0
    for convolution, norm in _pairs(backbone):
        match = next(
            (i for i, (w, _) in enumerate(layers) if w.shape == tuple(convolution.weight.shape)), None
        )
        if match is None:
            break
        weight, bias = layers.pop(match)
        with torch.no_grad():
            convolution.weight.copy_(torch.from_numpy(weight.copy()))
        _give_back(norm, torch.from_numpy(bias.copy()))
        taken += 1
    if taken == 0:
        raise DetectorError(
            f"{graph}: no convolution of it fits the backbone; expected a plain classifier gate"
        )
    _calibrate(backbone, example)
    return taken


def _pairs(backbone: PlainBackbone) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    modules = [module for module in backbone.modules() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))]
    return list(zip(modules[::2], modules[1::2], strict=True))


def _give_back(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """The next forward pass measures its input and sets the norm to ``x + bias`` for it."""

    def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.data.copy_((variance + norm.eps).sqrt())
        norm.bias.data.copy_(mean + bias)
        handle.remove()

    handle = norm.register_forward_pre_hook(measure)


@torch.no_grad()
def _calibrate(backbone: nn.Module, example: Tensor) -> None:
    backbone.eval()
    backbone(example)
    backbone.train()


def _convolutions(path: Path) -> list[Layer]:
    """Weights and biases in the graph's order, as float32."""
    graph = onnx.load(path).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}

    def value(name: str) -> NDArray[np.float32]:
        if name in constants:
            return np.asarray(constants[name], np.float32)
        node = makers[name]
        if node.op_type != "DequantizeLinear":
            raise DetectorError(f"{path}: {name} comes from {node.op_type}; expected constant weights")
        stored, scale = constants[node.input[0]], np.asarray(constants[node.input[1]], np.float32)
        shape = (-1, *(1,) * (stored.ndim - 1)) if scale.ndim else ()
        return np.asarray(stored.astype(np.float32) * scale.reshape(shape), np.float32)

    return [
        (value(node.input[1]), value(node.input[2]))
        for node in graph.node
        if node.op_type == "Conv" and len(node.input) > 2
    ]
