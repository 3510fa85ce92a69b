"""Teaches inner feature maps where the defects are, while training.

A verdict per picture says little about a crack of a few cells; a class per cell says it directly, and a deep
network from random weights finds the defect in a fraction of the steps. The heads are thrown away afterwards:
the shipped graph is the plain network.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.training.precision import mixed

_BACKGROUND_WEIGHT = 0.15
"""Most cells are background; with full weight "nothing here" would be the answer everywhere."""


class Guides(nn.Module):
    """1×1 convolutions on the maps of some modules of ``net``, read by forward hooks."""

    def __init__(self, net: nn.Module, places: Sequence[tuple[str, int]], classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(channels, classes, 1) for _, channels in places)
        self._maps: list[Tensor] = [torch.empty(0)] * len(places)
        modules = dict(net.named_modules())
        self._hooks = [
            modules[name].register_forward_hook(self._keeper(index)) for index, (name, _) in enumerate(places)
        ]
        weights = torch.ones(classes)
        weights[0] = _BACKGROUND_WEIGHT
        self.register_buffer("weights", weights)

    def _keeper(self, index: int) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(_module: nn.Module, _inputs: object, maps: Tensor) -> None:
            self._maps[index] = maps

        return keep

    def loss(self, cells: Tensor) -> Tensor:
        """Sum over the guided maps of the last forward pass; ``cells`` int64 N×h×w class ids."""
        size = (int(cells.shape[1]), int(cells.shape[2]))
        total = torch.zeros((), device=cells.device)
        for head, maps in zip(self.heads, self._maps, strict=True):
            device = maps.device.type
            with mixed(device):
                found = head(maps)
            found = functional.interpolate(found.float(), size=size, mode="bilinear")
            total = total + functional.cross_entropy(found, cells, self.weights)
        return total

    def close(self) -> None:
        """Takes the hooks out of the network."""
        for hook in self._hooks:
            hook.remove()


def guided_places(net: nn.Module, places: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """The places with the channels that they have in this network: pruning leaves fewer than the zoo says."""
    return tuple((place, _outputs(net.get_submodule(place), channels)) for place, channels in places)


def _outputs(module: nn.Module, otherwise: int) -> int:
    """Channels that leave a stage: of its last batch norm outside a shortcut; it may have none."""
    norms = [
        norm
        for name, norm in module.named_modules()
        if isinstance(norm, nn.BatchNorm2d) and "downsample" not in name
    ]
    return int(norms[-1].num_features) if norms else otherwise
