"""The network: backbone, ghost PAN, one light head per stride, and the guide that exists only while training.

Design after NanoDet-Plus (RangiLyu, 2021): GFL head (Li et al. 2020, "Generalized Focal Loss"), a PAN of ghost modules
(Han et al. 2020, "GhostNet"), assign guidance. ReLU throughout, since it disappears into a quantised convolution.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.detector.backbones import BACKBONES, depthwise, pointwise


@dataclass(frozen=True)
class NetSpec:
    """What is needed to build the network again."""

    classes: int
    width: int
    height: int
    backbone: str = "plain"
    channels: int = 64
    strides: tuple[int, ...] = (8, 16, 32, 64)
    """The first three come from backbone and PAN, a fourth is shrunk from the third."""
    reg_max: int = 7
    """Distances to the box's sides are distributions over 0..reg_max, in units of the stride."""

    @property
    def outputs(self) -> int:
        """Numbers per location: class scores, then four distributions."""
        return self.classes + 4 * (self.reg_max + 1)


def grid_sizes(spec: NetSpec) -> list[tuple[int, int]]:
    """Rows and columns of locations per stride; a size that a stride does not divide is rounded up."""
    return [(-(-spec.height // stride), -(-spec.width // stride)) for stride in spec.strides]


def priors(spec: NetSpec) -> Tensor:
    """N×3: x, y and stride of every location, strides in order, row by row. Location (0, 0) sits at pixel 0."""
    levels = []
    for stride, (rows, columns) in zip(spec.strides, grid_sizes(spec), strict=True):
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        flat = torch.stack((x.flatten(), y.flatten()), 1).float() * stride
        levels.append(torch.cat((flat, torch.full((len(flat), 1), float(stride))), 1))
    return torch.cat(levels)


class Ghost(nn.Module):
    """Half of the channels by a pointwise convolution, the other half cheaply from the first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.primary = pointwise(inputs, outputs // 2)
        self.cheap = depthwise(outputs // 2, 3, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        """Same size, ``outputs`` channels."""
        first = self.primary(x)
        return torch.cat((first, self.cheap(first)), 1)


class GhostPan(nn.Module):
    """Top down, then bottom up; every level comes out with ``channels`` channels."""

    def __init__(self, inputs: tuple[int, ...], channels: int, levels: int) -> None:
        super().__init__()
        joints = len(inputs) - 1
        self.reduce = nn.ModuleList(pointwise(count, channels) for count in inputs)
        self.down = nn.ModuleList(Ghost(2 * channels, channels) for _ in range(joints))
        self.shrink = nn.ModuleList(depthwise(channels, 3, stride=2) for _ in range(joints))
        self.up = nn.ModuleList(Ghost(2 * channels, channels) for _ in range(joints))
        self.extra = nn.ModuleList(
            nn.Sequential(depthwise(channels, 3, stride=2), pointwise(channels, channels))
            for _ in range(levels - len(inputs))
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Finest first."""
        lateral = [reduce(feature) for reduce, feature in zip(self.reduce, features, strict=True)]
        for index in range(len(lateral) - 2, -1, -1):
            size = lateral[index].shape[-2:]
            coarse = functional.interpolate(
                lateral[index + 1], size=(int(size[0]), int(size[1])), mode="nearest"
            )
            lateral[index] = self.down[index](torch.cat((coarse, lateral[index]), 1))
        for index in range(1, len(lateral)):
            shrunk = self.shrink[index - 1](lateral[index - 1])
            lateral[index] = self.up[index - 1](torch.cat((shrunk, lateral[index]), 1))
        for extra in self.extra:
            lateral.append(extra(lateral[-1]))
        return lateral


class Head(nn.Module):
    """Per stride: depthwise-separable convolutions, then one pointwise layer that gives scores and distances."""

    def __init__(self, inputs: int, spec: NetSpec, depth: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [depthwise(inputs if index == 0 else spec.channels, 3, relu=True)]
            layers += [pointwise(inputs if index == 0 else spec.channels, spec.channels)]
        self.body = nn.Sequential(*layers)
        self.out = nn.Conv2d(spec.channels, spec.outputs, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)
        nn.init.constant_(self.out.bias[: spec.classes], -4.6)  # every class begins at 1 %

    def forward(self, x: Tensor) -> Tensor:
        """Batch × locations × outputs."""
        out: Tensor = self.out(self.body(x))
        return out.flatten(2).transpose(1, 2)


class Detector(nn.Module):
    """``forward`` gives raw outputs (batch, locations, classes + 4·(reg_max + 1)), classes as logits."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = BACKBONES[spec.backbone]()
        self.pan = GhostPan(self.backbone.outputs, spec.channels, len(spec.strides))
        self.heads = nn.ModuleList(Head(spec.channels, spec) for _ in spec.strides)

    def forward(self, image: Tensor) -> Tensor:
        """``image``: batch × 3 × height × width, normalised."""
        return self.from_features(self.backbone(image))[0]

    def from_features(self, features: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The raw outputs and the PAN's levels, which the guide wants."""
        levels = self.pan(features)
        outputs = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        return torch.cat(outputs, 1), levels


class Guide(nn.Module):
    """A second PAN and one shared head: it learns faster than the light heads, so it says which location learns
    which box. Thrown away after training."""

    def __init__(self, spec: NetSpec, inputs: tuple[int, ...]) -> None:
        super().__init__()
        self.pan = GhostPan(inputs, spec.channels, len(spec.strides))
        self.mix = pointwise(2 * spec.channels, spec.channels)
        self.head = Head(spec.channels, spec)

    def forward(self, features: list[Tensor], levels: list[Tensor]) -> Tensor:
        """As Detector's."""
        own = self.pan(features)
        mixed = [self.mix(torch.cat(pair, 1)) for pair in zip(levels, own, strict=True)]
        return torch.cat([self.head(level) for level in mixed], 1)


class Exported(nn.Module):
    """What the graph gives: class scores in [0, 1], distributions as logits."""

    def __init__(self, net: Detector) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """1 × locations × outputs."""
        raw = self.net(image)
        classes = self.net.spec.classes
        return torch.cat((raw[..., :classes].sigmoid(), raw[..., classes:]), -1)


def decode(raw: Tensor, places: Tensor, spec: NetSpec) -> Tensor:
    """Raw outputs (…, N, outputs) → boxes (…, N, 4) as x1, y1, x2, y2 in pixels of the input."""
    logits = raw[..., spec.classes :].unflatten(-1, (4, spec.reg_max + 1))
    steps = torch.arange(spec.reg_max + 1, dtype=raw.dtype, device=raw.device)
    # Contiguous: softmax over the heads' transposed outputs is ten times slower.
    reach = (logits.contiguous().softmax(-1) * steps).sum(-1) * places[:, 2:3]
    return torch.cat((places[:, :2] - reach[..., :2], places[:, :2] + reach[..., 2:]), -1)
