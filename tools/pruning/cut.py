"""Takes channels out along torch-pruning's dependency graph."""

from typing import Any

import torch
from torch import Tensor, nn

from tools.errors import TrainError
from tools.pruning.importance import Worth
from tools.training.sets import Size

CHANNEL_MULTIPLE = 16
"""Vector units take 16 (AVX-512 and tensor cores) INT8 channels at a time; the rest would be padding."""
STAGES = ("features.5.", "features.6.", "features.7.")
"""conv3_x to conv5_x of the zoo's resnet50."""


def _library() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise TrainError("pruning needs torch-pruning: pip install 'edge-inspection[train]'") from error
    return torch_pruning


def batch_norms(net: nn.Module) -> list[str]:
    """Names of the batch norms of conv3_x to conv5_x. Raises TrainError when it is no ResNet50."""
    names = [
        name
        for name, module in net.named_modules()
        if isinstance(module, nn.BatchNorm2d) and name.startswith(STAGES)
    ]
    if "features.7.2.bn3" not in names:
        raise TrainError("the network has no stages conv3_x to conv5_x; expected weights of resnet50")
    return names


def stage_channels(net: nn.Module) -> int:
    """Output channels of all convolutions of conv3_x to conv5_x."""
    return sum(
        module.out_channels
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and name.startswith(STAGES)
    )


def macs_and_weights(net: nn.Module, size: Size) -> tuple[float, float]:
    """(multiply-accumulates per picture, number of weights)."""
    macs, weights = _library().utils.count_ops_and_params(net, torch.zeros(1, 3, size[1], size[0]))
    return float(macs), float(weights)


def cut(net: nn.Module, worth: Worth, share: float, size: Size) -> None:
    """Removes about ``share`` of the channels of every group of coupled layers in conv3_x to conv5_x, in place.

    Counts are rounded to multiples of 16. Channels that a residual sum couples stay or go together; their worth is
    the mean over the coupled layers.
    """
    pruning = _library()
    names = {module: name for name, module in net.named_modules()}
    inside = tuple(module for module, name in names.items() if name.startswith(STAGES))
    ignored = [
        module
        for module in net.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module not in inside
    ]

    def group_worth(group: Any) -> Tensor | None:
        found = []
        for dependency, indices in group:
            values = worth.values.get(names.get(dependency.target.module, ""))
            if values is not None and isinstance(dependency.target.module, nn.BatchNorm2d):
                found.append(values[torch.as_tensor(indices)])
        return torch.stack(found).mean(0) if found else None

    pruner = pruning.pruner.BasePruner(
        net,
        torch.zeros(1, 3, size[1], size[0]),
        importance=group_worth,
        pruning_ratio=share,
        round_to=CHANNEL_MULTIPLE,
        ignored_layers=ignored,
    )
    pruner.step()
