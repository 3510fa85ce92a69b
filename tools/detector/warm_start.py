"""A plain backbone begins with what the plain classifier gate has learned (``engines/models/gate.onnx``).

A detector from scratch spends most of its time on features; those of the classifier are there already. The graph is
quantised and its batch norms are folded; how they come back is said in ``tools/training/engine_weights.py``.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from tools.detector.backbones import PlainBackbone
from tools.detector.errors import DetectorError
from tools.training.engine_weights import give_back, layers_of


def warm_start(backbone: nn.Module, graph: Path, example: Tensor) -> int:
    """Layers taken over, from the first on, as far as the shapes agree. ``example``: normalised pictures.

    Raises DetectorError when the graph's first convolution does not fit.
    """
    if not isinstance(backbone, PlainBackbone):
        raise DetectorError("--backbone-from fits the plain backbone; leave it out, or use --backbone plain")
    layers = layers_of(graph)
    taken = 0
    for convolution, norm in _pairs(backbone):
        match = next(
            (i for i, layer in enumerate(layers) if layer.weight.shape == tuple(convolution.weight.shape)),
            None,
        )
        if match is None:
            break
        layer = layers.pop(match)
        with torch.no_grad():
            convolution.weight.copy_(torch.from_numpy(layer.weight.copy()))
        give_back(norm, torch.from_numpy(layer.bias.copy()))
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


@torch.no_grad()
def _calibrate(backbone: nn.Module, example: Tensor) -> None:
    backbone.eval()
    backbone(example)
    backbone.train()
