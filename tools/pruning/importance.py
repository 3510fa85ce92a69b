"""What a channel is worth: its share in the verdicts, and whether it sees fine texture."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.gradcam import Recorder
from tools.training.augment import normalised
from tools.training.fit import MEAN, STD
from tools.training.sets import Labelled

_BATCH = 32
_PROTECTED_SHARE = 0.1
"""Of each layer's channels, those with the finest texture in their maps are not cut."""
_DEAD_QUANTILE = 0.1
"""A channel below this quantile of the layer's worth is not protected: what it sees is noise."""


@dataclass(frozen=True)
class Worth:
    """Per batch norm (by name): one value per channel, mean 1 per layer; protected ones at the layer's top."""

    values: dict[str, Tensor]
    protected: dict[str, Tensor]
    """bool per channel."""


def measure_worth(net: nn.Module, examples: Labelled, names: list[str]) -> Worth:
    """Contribution of every channel at the outputs of the batch norms ``names`` to the loss on ``examples``.

    Worth of channel c: mean over the pictures of |Σ_space A_c · ∂L/∂A_c|, the first-order change of the loss when the
    map is removed (Molchanov et al., CVPR 2019; the same product that Grad-CAM shows). Fineness: energy of the map
    minus its 3×3 mean, over its variance.
    """
    net.eval()
    worth = {name: torch.zeros(()) for name in names}
    fine = {name: torch.zeros(()) for name in names}
    for start in range(0, len(examples.labels), _BATCH):
        images = torch.from_numpy(np.ascontiguousarray(examples.images[start : start + _BATCH]))
        labels = torch.from_numpy(examples.labels[start : start + _BATCH])
        with Recorder(net, names) as recorder, torch.enable_grad():
            logits = net(normalised(images, MEAN, STD))
            functional.cross_entropy(logits, labels, reduction="sum").backward()
            for name, gradient in recorder.gradients.items():
                maps = recorder.maps[name].detach()
                worth[name] = worth[name] + (maps * gradient).sum((2, 3)).abs().sum(0)
                fine[name] = fine[name] + _fineness(maps).sum(0)
        net.zero_grad(set_to_none=True)
    values, protected = {}, {}
    for name in names:
        scaled = worth[name] / worth[name].mean().clamp(min=1e-12)
        protected[name] = _protected(scaled, fine[name])
        values[name] = torch.where(protected[name], scaled.max(), scaled)
    return Worth(values, protected)


def _fineness(maps: Tensor) -> Tensor:
    """N×C: share of a map's variance that a 3×3 mean takes away."""
    smooth = functional.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)
    return (maps - smooth).square().mean((2, 3)) / maps.var((2, 3)).clamp(min=1e-9)


def _protected(worth: Tensor, fineness: Tensor) -> Tensor:
    alive = worth > worth.quantile(_DEAD_QUANTILE)
    ranked = torch.where(alive, fineness, torch.full_like(fineness, -1.0))
    chosen = torch.zeros_like(alive)
    chosen[ranked.topk(max(1, round(_PROTECTED_SHARE * len(worth)))).indices] = True
    return chosen & alive
