"""The classifiers that the trainer knows, as a table. Nobody's weights: all start from random numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tools.errors import TrainError
from tools.models import PooledHead, classifier_net, gate_net
from tools.training.torchvision_models import torchvision_models


class Classifier(nn.Module):
    """``features`` (N×3×H×W → N×C×h×w), then ``head`` (→ N×classes logits).

    The cut between the two is where heat maps are taken and where the few-shot learner reads its features.
    """

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pictures to logits."""
        logits: Tensor = self.head(self.features(x))
        return logits


@dataclass(frozen=True)
class Network:
    """One entry of the zoo. Sizes in pixels, rates for AdamW."""

    name: str
    build: Callable[[int, tuple[int, int]], nn.Module]
    """(classes, (width, height)) → the network."""
    width: int = 192
    height: int = 144
    top_rate: float = 1e-3
    weight_decay: float = 0.05
    batch: int = 32
    epochs: float = 6
    guides: tuple[tuple[str, int], ...] = ()
    """(module, channels) whose maps are also taught where each defect lies, while training only."""
    bfloat16_on_cpu: bool = True
    """False where depthwise convolutions fill the time: on a processor these are slower in bfloat16 (MobileNetV3-large:
    33 pictures a second instead of 81 at 128×96 on one core with AMX)."""


def _resnet50(classes: int, _: tuple[int, int]) -> nn.Module:
    net = torchvision_models().resnet50(zero_init_residual=True)
    stem = (net.conv1, net.bn1, net.relu, net.maxpool)
    stages = (net.layer1, net.layer2, net.layer3, net.layer4)
    return Classifier(nn.Sequential(*stem, *stages), PooledHead(2048, classes))


def _torchvision_features(name: str, channels: int) -> Callable[[int, tuple[int, int]], nn.Module]:
    def build(classes: int, _: tuple[int, int]) -> nn.Module:
        features = getattr(torchvision_models(), name)().features
        return Classifier(features, PooledHead(channels, classes))

    return build


def _timm(name: str, channels: int) -> Callable[[int, tuple[int, int]], nn.Module]:
    def build(classes: int, size: tuple[int, int]) -> nn.Module:
        try:
            import timm
        except ImportError as error:
            raise TrainError(
                f"{name} needs the package timm: pip install 'edge-inspection[train]'"
            ) from error
        torchvision_models()  # timm imports it
        sizes: dict[str, Any] = {"img_size": (size[1], size[0])} if "vit_small" in name else {}
        net = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", **sizes)
        return Classifier(_Maps(net, (size[1], size[0])), PooledHead(channels, classes))

    return build


class _Maps(nn.Module):
    """Feature maps of a timm network; tokens are laid back onto their grid."""

    def __init__(self, net: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.net = net
        patch = getattr(getattr(net, "patch_embed", None), "patch_size", None)
        self._prefix = int(getattr(net, "num_prefix_tokens", 0))
        self._grid = (size[0] // patch[0], size[1] // patch[1]) if patch else None

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W to N×C×h×w."""
        maps: Tensor = self.net(x)
        if self._grid is None:
            return maps
        tokens = maps[:, self._prefix :].transpose(1, 2)
        return tokens.unflatten(2, self._grid).contiguous()


def _plain(build: Callable[[int], nn.Module]) -> Callable[[int, tuple[int, int]], nn.Module]:
    def with_size(classes: int, _: tuple[int, int]) -> nn.Module:
        net = build(classes)
        assert isinstance(net, nn.Sequential)
        return Classifier(net[:-1], net[-1])

    return with_size


NETWORKS = {
    entry.name: entry
    for entry in (
        Network(
            "plain",
            _plain(classifier_net),
            224,
            168,
            top_rate=4e-3,
            weight_decay=0.02,
            batch=64,
            epochs=8,
            guides=(("features", 160),),
        ),
        Network("plain-small", _plain(gate_net), top_rate=4e-3, weight_decay=0.02, batch=64, epochs=7),
        Network("resnet50", _resnet50, top_rate=1.5e-3, guides=(("features.6", 1024), ("features.7", 2048))),
        Network(
            "mobilenet_v3_small",
            _torchvision_features("mobilenet_v3_small", 576),
            top_rate=3e-3,
            bfloat16_on_cpu=False,
            guides=(("features.8", 48), ("features.12", 576)),
        ),
        Network(
            "mobilenet_v3_large",
            _torchvision_features("mobilenet_v3_large", 960),
            top_rate=3e-3,
            bfloat16_on_cpu=False,
            guides=(("features.12", 112), ("features.16", 960)),
        ),
        Network(
            "efficientnet_b0",
            _torchvision_features("efficientnet_b0", 1280),
            top_rate=3e-3,
            bfloat16_on_cpu=False,
            guides=(("features.5", 112), ("features.8", 1280)),
        ),
        Network(
            "convnext_tiny",
            _torchvision_features("convnext_tiny", 768),
            top_rate=5e-4,
            guides=(("features.5", 384), ("features.7", 768)),
        ),
        Network(
            "mobilevit_s",
            _timm("mobilevit_s", 640),
            top_rate=1.5e-3,
            guides=(("features.net.stages.3", 128), ("features", 640)),
        ),
        Network("vit_small", _timm("vit_small_patch16_224", 384), top_rate=5e-4, guides=(("features", 384),)),
    )
}


def network(name: str) -> Network:
    """The entry called ``name``. Raises TrainError with the names there are."""
    try:
        return NETWORKS[name]
    except KeyError:
        raise TrainError(f"no network is called '{name}'; expected one of: {', '.join(NETWORKS)}") from None


def build(entry: Network, classes: int, size: tuple[int, int] | None = None) -> nn.Module:
    """A fresh network in channels-last order; ``size`` (width, height) if not the entry's own."""
    net = entry.build(classes, size or (entry.width, entry.height))
    return net.to(memory_format=torch.channels_last)
