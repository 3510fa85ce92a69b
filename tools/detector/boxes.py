"""Box arithmetic in torch; boxes are (…, 4) x1, y1, x2, y2 in pixels."""

import torch
from torch import Tensor

_SMALL = 1e-6


def areas(boxes: Tensor) -> Tensor:
    """Never negative."""
    return (boxes[..., 2] - boxes[..., 0]).clamp_min(0) * (boxes[..., 3] - boxes[..., 1]).clamp_min(0)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Element by element, with broadcasting: share of the union that both cover."""
    return _overlap(a, b)[0]


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019): falls below 0 where boxes stand apart."""
    plain, union = _overlap(a, b)
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    hull = (high - low).clamp_min(0).prod(-1).clamp_min(_SMALL)
    return plain - (hull - union) / hull


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clamp_min(0).prod(-1)
    union = (areas(a) + areas(b) - common).clamp_min(_SMALL)
    return common / union, union
