"""Batches of pictures changed together with their boxes; uint8 in, uint8 values (any dtype) out."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from tools.detector.assign import Truth


def augment(
    images: Tensor,
    truth: Truth,
    generator: torch.Generator,
    *,
    foreign: bool = False,
    window: tuple[int, int] | None = None,
) -> tuple[Tensor, Truth]:
    """Flips, a shift of up to 4 pixels, ±0.3 EV and a little white balance; ``foreign`` pictures are also turned
    by quarters (square ones), scaled by 0.8–1.2 and moved. ``window`` (height, width): of a larger foreign picture,
    as much is taken, from anywhere."""
    boxes = truth.boxes
    height, width = images.shape[-2:]
    if _coin(generator):
        images, boxes = images.flip(3), _mirror(boxes, 0, width)
    if _coin(generator):
        images, boxes = images.flip(2), _mirror(boxes, 1, height)
    truth = Truth(boxes, truth.classes)
    if not foreign:
        images, truth = _roll(images, truth, generator)
        return _light(images.float(), generator), truth
    if height == width and _coin(generator):
        images, truth = images.transpose(2, 3), Truth(truth.boxes[..., [1, 0, 3, 2]], truth.classes)
    images, truth = _zoom(images, truth, generator, window or (height, width))
    return _light(images, generator), truth


def _coin(generator: torch.Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)


def _mirror(boxes: Tensor, axis: int, length: int) -> Tensor:
    boxes = boxes.clone()
    boxes[..., axis], boxes[..., axis + 2] = length - boxes[..., axis + 2], length - boxes[..., axis].clone()
    return boxes


def _roll(images: Tensor, truth: Truth, generator: torch.Generator) -> tuple[Tensor, Truth]:
    """All around the part is belt, so what leaves on one side may come in on the other."""
    dy, dx = torch.randint(-4, 5, (2,), generator=generator).tolist()
    shift = torch.tensor([dx, dy, dx, dy], dtype=truth.boxes.dtype)
    limit = torch.tensor([images.shape[3], images.shape[2]] * 2, dtype=truth.boxes.dtype)
    boxes = torch.minimum((truth.boxes + shift).clamp_min(0), limit)
    return torch.roll(images, (dy, dx), (2, 3)), Truth(boxes, truth.classes)


def _light(images: Tensor, generator: torch.Generator) -> Tensor:
    count = len(images)
    gain = 2 ** (torch.rand(count, 1, 1, 1, generator=generator) * 0.6 - 0.3)
    gain = gain * (1 + 0.03 * torch.randn(count, 3, 1, 1, generator=generator))
    return (images * gain).clamp_(0, 255).round_()


def _zoom(
    images: Tensor, truth: Truth, generator: torch.Generator, window: tuple[int, int]
) -> tuple[Tensor, Truth]:
    """Scale and shift per picture; boxes that leave more than half are dropped."""
    count, channels, height, width = images.shape
    full, half = torch.tensor([width, height]) / 2, torch.tensor([window[1], window[0]]) / 2
    scale = torch.exp((torch.rand(count, 1, generator=generator) * 2 - 1) * math.log(1.2))
    chance = torch.rand(count, 2, generator=generator) * 2 - 1
    # The window's middle as seen from the picture's, in pixels of the picture.
    middle = chance * torch.where(half < full, full - half / scale, 0.1 * full / scale)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = (half / full / scale).unbind(1)
    matrix[:, :, 2] = middle / full
    grid = functional.affine_grid(matrix, [count, channels, *window], align_corners=False)
    images = functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    shift = (full + middle).repeat(1, 2)[:, None]
    moved = (truth.boxes - shift) * scale[:, None] + half.repeat(2)
    inside = torch.minimum(moved.clamp_min(0), 2 * half.repeat(2))
    kept = _area(inside) > 0.5 * _area(moved)
    return images, Truth(inside, torch.where(kept, truth.classes, truth.classes.new_full((), -1)))


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
