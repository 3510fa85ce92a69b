"""Trained weights on disk, with what is needed to build their network again, pruned ones included."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tools.errors import TrainError
from tools.training.sets import Size
from tools.training.zoo import build, network


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode and where it comes from."""

    net: nn.Module
    model: str
    size: Size
    """(width, height)."""
    classes: tuple[str, ...]
    seconds: float
    """Training time so far, in all stages."""
    accuracy: float
    """On the validation set."""


def save_weights(path: Path, trained: Trained) -> None:
    """Writes under another name, then renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished-{path.name}")
    state = {**vars(trained), "net": trained.net.state_dict()}
    torch.save(state, unfinished)
    unfinished.replace(path)


def load_weights(path: Path) -> Trained:
    """Builds the network and fills it; layers take the widths of the stored weights (pruning narrows them).

    Raises TrainError for a missing or damaged file.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        size, classes = tuple(state["size"]), tuple(state["classes"])
        net = build(network(state["model"]), len(classes), (size[0], size[1]))
        fit_widths(net, state["net"])
        net.load_state_dict(state["net"])
    except Exception as error:  # torch raises whatever its unpickler raises
        raise TrainError(f"{path}: no trained weights: {error}; expected a file of tools.train") from error
    return Trained(
        net.eval(), state["model"], (size[0], size[1]), classes, state["seconds"], state["accuracy"]
    )


def fit_widths(net: nn.Module, state: dict[str, Tensor]) -> None:
    """Replaces the parameters of plain convolutions, batch norms and linear layers by ones of the stored shapes."""
    for name, module in net.named_modules():
        weight = state.get(f"{name}.weight")
        if weight is None:
            continue
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            module.out_channels, module.in_channels = weight.shape[0], weight.shape[1]
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features = len(weight)
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = weight.shape
        else:
            continue
        for key, old in list(module.named_parameters(recurse=False)):
            setattr(module, key, nn.Parameter(torch.empty_like(state[f"{name}.{key}"]), old.requires_grad))
        for key, _ in list(module.named_buffers(recurse=False)):
            setattr(module, key, torch.empty_like(state[f"{name}.{key}"]))
