"""The two networks of the demo. Plain convolutions: in INT8 on a CPU these are the fast ones."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class _Residual(nn.Module):
    """``relu(body(x) + shortcut(x))``; the shortcut is projected where the shape changes."""

    def __init__(self, body: nn.Module, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = body
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else _conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


def _basic(inputs: int, outputs: int, stride: int) -> nn.Module:
    body = nn.Sequential(_conv(inputs, outputs, 3, stride), nn.ReLU(), _conv(outputs, outputs))
    return _Residual(body, inputs, outputs, stride)


class PooledHead(nn.Module):
    """Mean and maximum over the picture, then logits: a mean alone drowns a crack of a few cells."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.peak = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Linear(2 * inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W feature maps to N×classes logits."""
        pooled = torch.cat((self.mean(x), self.peak(x)), 1).flatten(1)
        logits: Tensor = self.fc(pooled)
        return logits


def _narrow_net(widths: tuple[int, int, int, int, int], classes: int) -> nn.Module:
    """Two strided convolutions, three residual stages at 1/4, 1/8 and 1/16 of the picture, and the head."""
    a, b, c, d, e = widths
    return nn.Sequential(
        _conv(3, a, 3, 2),
        nn.ReLU(),
        _conv(a, b, 3, 2),
        nn.ReLU(),
        _basic(b, c, 1),
        _basic(c, d, 2),
        _basic(d, e, 2),
        PooledHead(e, classes),
    )


def gate_net(classes: int) -> nn.Module:
    """Five stages, 0.31 M weights."""
    return _narrow_net((16, 32, 32, 64, 128), classes)


def classifier_net(classes: int) -> nn.Module:
    """The gate's design, wider and at a higher resolution: 0.56 M weights."""
    return _narrow_net((24, 32, 48, 96, 160), classes)
