"""Backbones: features at 1/8, 1/16 and 1/32 of the picture.

``shuffle``: ShuffleNetV2 ×0.5 (Ma et al. 2018). ``plain``: 3×3 convolutions with shortcuts, fewer and fatter
operators, which is what INT8 on a CPU likes.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and batch norm."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def pointwise(inputs: int, outputs: int) -> nn.Sequential:
    """1×1 with ReLU."""
    return nn.Sequential(conv_bn(inputs, outputs, 1), nn.ReLU())


def depthwise(channels: int, kernel: int, stride: int = 1, *, relu: bool = False) -> nn.Sequential:
    """One filter per channel."""
    layers: list[nn.Module] = [conv_bn(channels, channels, kernel, stride, channels)]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class Basic(nn.Module):
    """``relu(body(x) + shortcut(x))``; the shortcut is projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(inputs, outputs, 3, stride), nn.ReLU(), conv_bn(outputs, outputs))
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``outputs`` channels at 1/stride."""
        return functional.relu(self.body(x) + self.shortcut(x))


class Backbone(nn.Module):
    """``stem``, then ``stages``; what each stage gives is kept, ``outputs`` channels wide."""

    stem: nn.Sequential
    stages: nn.ModuleList
    outputs: tuple[int, ...]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Finest first."""
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class PlainBackbone(Backbone):
    """Two strided convolutions, then residual stages at 1/4, 1/8, 1/16 and 1/32."""

    def __init__(self, widths: tuple[int, int, int, int, int, int] = (16, 32, 32, 64, 128, 96)) -> None:
        super().__init__()
        a, b, c, d, e, f = widths
        self.stem = nn.Sequential(
            conv_bn(3, a, 3, 2), nn.ReLU(), conv_bn(a, b, 3, 2), nn.ReLU(), Basic(b, c, 1)
        )
        self.stages = nn.ModuleList((Basic(c, d, 2), Basic(d, e, 2), Basic(e, f, 2)))
        self.outputs = (d, e, f)


def _shuffle(x: Tensor) -> Tensor:
    """Interleaves the two halves of the channels."""
    batch, channels, height, width = x.shape
    return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)


class _ShuffleUnit(nn.Module):
    """Stride 1: half of the channels pass by. Stride 2: both branches see everything."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        seen = inputs if stride == 2 else half
        self.stride = stride
        self.branch = nn.Sequential(pointwise(seen, half), depthwise(half, 3, stride), pointwise(half, half))
        self.side = (
            nn.Sequential(depthwise(inputs, 3, 2), pointwise(inputs, half)) if stride == 2 else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:
            return _shuffle(torch.cat((self.side(x), self.branch(x)), 1))
        kept, seen = x.chunk(2, 1)
        return _shuffle(torch.cat((kept, self.branch(seen)), 1))


class ShuffleBackbone(Backbone):
    """ShuffleNetV2; ×0.5 is (24, 48, 96, 192) with 4, 8 and 4 units."""

    def __init__(
        self, widths: tuple[int, int, int, int] = (24, 48, 96, 192), units: tuple[int, int, int] = (4, 8, 4)
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, widths[0], 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList(
            nn.Sequential(
                _ShuffleUnit(before, after, 2), *(_ShuffleUnit(after, after, 1) for _ in range(count - 1))
            )
            for before, after, count in zip(widths[:-1], widths[1:], units, strict=True)
        )
        self.outputs = widths[1:]


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "plain": PlainBackbone,
    "shuffle": ShuffleBackbone,
}
