"""Which location learns which box: the dynamic soft label assigner of NanoDet-Plus, a whole batch at once."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tools.detector.boxes import iou

TOP_CANDIDATES = 13
IOU_WEIGHT = 3.0
_NEVER = 1e8


@dataclass(frozen=True)
class Truth:
    """Boxes of a batch, padded: ``boxes`` B×M×4 (pixels), ``classes`` B×M int64, -1 where there is none."""

    boxes: Tensor
    classes: Tensor


def assign(scores: Tensor, boxes: Tensor, places: Tensor, truth: Truth) -> Tensor:
    """Index of the box that each location learns (B×N int64), -1: none.

    ``scores`` B×N×C in [0, 1] and ``boxes`` B×N×4 are the guide's predictions, ``places`` N×3 (x, y, stride). A place
    may learn a box when it lies in it, or within one stride of its centre: a hair crack often has no location in it.
    How many learn a box follows from how well its best candidates already fit (sum of their IoU, at least one).
    """
    with torch.no_grad():
        given = truth.classes >= 0
        overlap = iou(boxes[:, :, None], truth.boxes[:, None])  # B×N×M
        cost = _class_cost(scores, overlap, truth) - IOU_WEIGHT * torch.log(overlap + 1e-7)
        allowed = _allowed(places, truth.boxes) & given[:, None]
        cost = torch.where(allowed, cost, cost.new_full((), _NEVER))
        count = min(TOP_CANDIDATES, cost.shape[1])
        best_overlap = (overlap * allowed).topk(count, 1).values
        wanted = best_overlap.sum(1).int().clamp_min(1)  # B×M
        ranked = cost.topk(count, 1, largest=False)
        rank = torch.arange(count, device=cost.device)[None, :, None]
        chosen = (rank < wanted[:, None]) & (ranked.values < _NEVER)
        matched = torch.zeros_like(allowed).scatter_(1, ranked.indices, chosen)
        # A location that several boxes want learns the one that costs it least.
        cheapest = torch.where(matched, cost, cost.new_full((), _NEVER * 2)).min(2)
        return torch.where(matched.any(2), cheapest.indices, cheapest.indices.new_full((), -1))


def _class_cost(scores: Tensor, overlap: Tensor, truth: Truth) -> Tensor:
    """Quality focal cost against the soft label: IoU at the box's class, 0 at the others. B×N×M."""
    scores = scores.clamp(1e-6, 1 - 1e-6)
    against_zero = -torch.log1p(-scores) * scores.square()
    which = truth.classes.clamp_min(0)[:, None].expand(-1, scores.shape[1], -1)
    own = scores.gather(2, which)
    soft = (
        functional.binary_cross_entropy(own, overlap.clamp(0, 1), reduction="none") * (overlap - own).square()
    )
    return against_zero.sum(2, keepdim=True) - against_zero.gather(2, which) + soft


def _allowed(places: Tensor, boxes: Tensor) -> Tensor:
    x, y, stride = (places[None, :, index, None] for index in range(3))
    x1, y1, x2, y2 = (boxes[:, None, :, index] for index in range(4))
    inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)
    near = ((x - (x1 + x2) / 2).abs() < stride) & ((y - (y1 + y2) / 2).abs() < stride)
    return inside | near
