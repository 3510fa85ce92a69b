"""Random changes to a batch that keep its classes. All chances come from one generator: a step can be repeated."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a picture."""

    shift_px: int = 4
    """Rolled by up to so many pixels; what leaves on one side comes back on the other (belt or background)."""
    usual_ev: float = 0.4
    extreme_ev: float = 2.0
    extreme_share: float = 0.3
    """This share of the pictures is changed by up to ``extreme_ev`` stops, the others by ``usual_ev``."""
    white_balance: float = 0.03
    """Spread of each channel's gain."""
    quarter_turns: bool = False
    """For textures without an upright: rotations by 180° come from the flips, by 90° from this (square only)."""


def augment(
    images: Tensor, cells: Tensor | None, plan: Augmentation, chance: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """uint8 N×3×H×W to float32 grey levels 0..255 of the same shape; ``cells`` N×h×w turn with their pictures."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=chance)

    flips = draw(2)
    dims = [dim for dim, flip in zip((3, 2), flips, strict=True) if flip < 0.5]
    images = images.flip(dims) if dims else images
    if cells is not None and dims:
        cells = cells.flip([dim - 1 for dim in dims])
    if plan.quarter_turns and draw(1) < 0.5 and images.shape[2] == images.shape[3]:
        images = images.transpose(2, 3)
        cells = None if cells is None else cells.transpose(1, 2)
    low, high = -plan.shift_px, plan.shift_px + 1
    shift = torch.randint(low, high, (2,), generator=chance).tolist()
    images = torch.roll(images, shift, (2, 3))
    count = len(images)
    extreme = draw(count, 1, 1, 1) < plan.extreme_share
    reach = torch.where(extreme, plan.extreme_ev, plan.usual_ev)
    tint = 1 + plan.white_balance * torch.randn(count, 3, 1, 1, generator=chance)
    gain = 2 ** ((2 * draw(count, 1, 1, 1) - 1) * reach) * tint
    return (images * gain).clamp_(0, 255).round_(), cells


def normalised(
    images: Tensor, mean: Sequence[float], std: Sequence[float], size: tuple[int, int] | None = None
) -> Tensor:
    """Grey levels to what the networks take; ``size`` (height, width) shrinks by area on the way."""
    shape = (1, 3, 1, 1)
    values = (images.float() / 255 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    if size is not None and size != tuple(values.shape[2:]):
        values = functional.interpolate(values, size=size, mode="area")
    return values.contiguous(memory_format=torch.channels_last)
