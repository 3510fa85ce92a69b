"""Where a training begins: random numbers, the weights of an earlier training, or a finished engine's."""

from pathlib import Path

import torch
from torch import nn

from edge.config import engine_path
from engines.graph import input_shape
from tools.dataset import TRAIN, normalise, render_set
from tools.errors import TrainError
from tools.training.engine_weights import engine_model, take_over
from tools.training.fit import MEAN, STD
from tools.training.sets import Labelled, Size
from tools.training.weights import load_weights
from tools.training.zoo import Classifier, Network, build
from tools.twin.parts import CLASSES

SHIPPED = engine_path("shipped:classifier").with_suffix(".onnx")
_EXAMPLES = 64
"""Rendered parts on which network and engine must agree: on what it never saw an INT8 engine may say anything."""


def starting_net(
    entry: Network, train: Labelled, size: Size, start_from: Path | None
) -> tuple[nn.Module, float]:
    """(network for the classes of ``train``, seconds that its weights were trained before).

    ``start_from``: ``weights.pt`` or an engine's ONNX, both of the same network; where it knew other classes, its
    features are kept and the head begins anew. Raises TrainError: no such weights, or of another network.
    """
    fresh = build(entry, len(train.classes), size)
    if start_from is None:
        return fresh, 0.0
    if start_from.suffix == ".onnx":
        known, seconds, classes = _of_engine(entry, start_from), 0.0, tuple(CLASSES)
    else:
        start = load_weights(start_from)
        known, seconds, classes = start.net, start.seconds, start.classes
    if classes == train.classes:
        return known.to(memory_format=torch.channels_last), seconds
    if not isinstance(known, Classifier) or not isinstance(fresh, Classifier):
        raise TrainError(f"{start_from}: knows {list(classes)}, and its head cannot be taken off")
    try:
        fresh.features.load_state_dict(known.features.state_dict())
    except RuntimeError as error:
        raise TrainError(
            f"{start_from}: features of another network than '{entry.name}' ({str(error).splitlines()[0]}); choose its "
            "--model"
        ) from error
    if classes == train.verdicts:
        with torch.no_grad():
            fresh.head.fc.weight[: len(classes)] = known.head.fc.weight
            fresh.head.fc.bias[: len(classes)] = known.head.fc.bias
    return fresh, seconds


def _of_engine(entry: Network, graph: Path) -> nn.Module:
    """The engine's own network, at its own size."""
    model = engine_model(graph)
    _, _, height, width = input_shape(model)
    outputs = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    net = build(entry, outputs, (width, height))
    parts = render_set(TRAIN, _EXAMPLES, 1, (width, height), workers=0).images
    examples = torch.from_numpy(normalise(parts, MEAN, STD))
    take_over(net, graph, examples, nn.Sequential(net, nn.Softmax(1)))
    return net
