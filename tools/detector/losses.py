"""Generalised focal loss (Li et al. 2020): quality focal + distribution focal + GIoU, with NanoDet's weights."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tools.detector.assign import Truth
from tools.detector.boxes import giou, iou
from tools.detector.net import NetSpec, decode

BOX_WEIGHT, DISTRIBUTION_WEIGHT = 2.0, 0.25


@dataclass(frozen=True)
class Losses:
    """Scalars of one batch."""

    quality: Tensor
    box: Tensor
    distribution: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.quality + BOX_WEIGHT * self.box + DISTRIBUTION_WEIGHT * self.distribution


def quality_focal(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy against a soft target, weighted by the squared error; element by element."""
    weight = (logits.sigmoid() - target).square()
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight


def distribution_focal(logits: Tensor, reach: Tensor) -> Tensor:
    """``reach`` (…) in strides, within [0, reg_max): the two whole numbers around it share the probability."""
    low = reach.floor()
    upper_share = reach - low
    flat, index = logits.flatten(0, -2), low.long().flatten()
    left = functional.cross_entropy(flat, index, reduction="none").view_as(reach)
    right = functional.cross_entropy(flat, index + 1, reduction="none").view_as(reach)
    return left * (1 - upper_share) + right * upper_share


@dataclass(frozen=True)
class Layout:
    """Where the outputs are, and what a small net needs beside the paper's losses."""

    spec: NetSpec
    places: Tensor
    """N×3, see ``net.priors``."""
    class_weight: Tensor
    """C: a part fills hundreds of locations and would drown a crack that has two."""
    quality_floor: float = 0.5
    """A right location's target is ``floor + (1 - floor) · IoU``: from scratch the IoU of a hair crack is near 0 for
    long, and a target near 0 teaches nothing."""


def losses(raw: Tensor, assigned: Tensor, truth: Truth, layout: Layout) -> Losses:
    """``raw`` B×N×outputs; ``assigned`` B×N as from ``assign``."""
    spec, places = layout.spec, layout.places
    batch, where = torch.nonzero(assigned >= 0, as_tuple=True)
    which = assigned[batch, where]
    classes, wanted = truth.classes[batch, which], truth.boxes[batch, which]
    # Only where a box is learned: decoding every location would cost a tenth of the step.
    found = decode(raw[batch, where], places[where], spec)
    logits = raw[..., : spec.classes]
    quality_target = layout.quality_floor + (1 - layout.quality_floor) * iou(found, wanted).detach()
    target = torch.zeros_like(logits)
    target[batch, where, classes] = quality_target
    weight = layout.class_weight[classes]
    total = weight.sum().clamp_min(1.0)
    quality = (quality_focal(logits, target) * layout.class_weight).sum() / total
    if len(batch) == 0:
        nothing = raw.sum() * 0
        return Losses(quality, nothing, nothing)
    box = ((1 - giou(found, wanted)) * weight).sum() / total
    place = places[where]
    reach = torch.cat((place[:, :2] - wanted[:, :2], wanted[:, 2:] - place[:, :2]), 1) / place[:, 2:3]
    reach = reach.clamp(0, spec.reg_max - 0.1)
    sides = raw[batch, where, spec.classes :].unflatten(-1, (4, spec.reg_max + 1))
    distribution = (distribution_focal(sides, reach) * weight[:, None]).sum() / (4 * total)
    return Losses(quality, box, distribution)
