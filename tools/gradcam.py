"""Where a verdict came from: ``python -m tools.gradcam --weights runs/X/weights.pt --picture P.png --out heat.png``.

Grad-CAM (Selvaraju et al., ICCV 2017): the feature maps of a layer, weighted by the mean gradient of the class
score over each map, summed, and cut at zero.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import EdgeError
from tools.errors import TrainError
from tools.training.augment import normalised
from tools.training.fit import MEAN, STD
from tools.training.weights import load_weights
from tools.training.zoo import network

_HEAT_SHARE = 0.45
"""Opacity of the heat over the picture."""


class Recorder:
    """Outputs of some modules in a forward pass and, after ``backward``, the gradients at them.

    Use as a context manager; ``maps[name]`` are N×C×h×w, ``gradients[name]`` the same shape.
    """

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        modules = dict(net.named_modules())
        missing = [name for name in names if name not in modules]
        if missing:
            raise TrainError(f"the network has no layer {missing}; expected such as 'features'")
        self._modules = {name: modules[name] for name in names}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self.maps: dict[str, Tensor] = {}

    def __enter__(self) -> "Recorder":
        for name, module in self._modules.items():
            self._hooks.append(module.register_forward_hook(self._keep(name)))
        return self

    def _keep(self, name: str):  # type: ignore[no-untyped-def] # noqa: ANN202
        def keep(_module: nn.Module, _inputs: object, maps: Tensor) -> Tensor:
            maps.retain_grad()
            self.maps[name] = maps
            # What follows may work in place; the recorded maps must stay what they are.
            return maps.clone()

        return keep

    @property
    def gradients(self) -> dict[str, Tensor]:
        """After ``backward``."""
        return {name: maps.grad for name, maps in self.maps.items() if maps.grad is not None}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()


def heat_maps(net: nn.Module, inputs: Tensor, layer: str, class_ids: Sequence[int] | None = None) -> Tensor:
    """N×H×W in 0..1 for normalised ``inputs`` N×3×H×W; the class is the verdict unless given."""
    net.eval()
    with Recorder(net, [layer]) as recorder, torch.enable_grad():
        # The input asks for gradients, so that the maps have some even in a frozen network.
        logits = net(inputs.detach().clone().requires_grad_())
        chosen = logits.argmax(1) if class_ids is None else torch.tensor(class_ids)
        logits.gather(1, chosen[:, None]).sum().backward()
        maps, gradients = recorder.maps[layer].detach(), recorder.gradients[layer]
    heat = (gradients.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).clamp_(min=0)
    heat = nn.functional.interpolate(heat, inputs.shape[2:], mode="bilinear")[:, 0]
    return heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """H×W×3 BGR picture with the heat (h×w, 0..1) in colours over it; cold places stay as they are."""
    heat = cv2.resize(heat, (picture.shape[1], picture.shape[0]))
    colours = cv2.applyColorMap(np.rint(255 * heat).astype(np.uint8), cv2.COLORMAP_JET)
    share = (_HEAT_SHARE * np.sqrt(heat))[..., None]
    return np.asarray(np.rint(picture * (1 - share) + colours * share), np.uint8)


def default_layer(model: str) -> str:
    """The finest taught maps of the network, or its last ones."""
    guides = network(model).guides
    return guides[0][0] if guides else "features"


def explain(
    weights: Path, picture_path: Path, layer: str | None, class_name: str | None
) -> tuple[str, NDArray[np.uint8]]:
    """(verdict with its score, BGR overlay). Raises TrainError for a broken picture or an unknown class."""
    trained = load_weights(weights)
    picture = cv2.imread(str(picture_path), cv2.IMREAD_COLOR)
    if picture is None:
        raise TrainError(f"{picture_path}: missing or broken; expected a colour picture (PNG, JPEG)")
    if class_name is not None and class_name not in trained.classes:
        raise TrainError(f"no class '{class_name}'; expected one of {', '.join(trained.classes)}")
    rgb = cv2.cvtColor(cv2.resize(picture, trained.size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    inputs = normalised(torch.from_numpy(rgb.transpose(2, 0, 1)[None].copy()), MEAN, STD)
    chosen = None if class_name is None else [trained.classes.index(class_name)]
    with torch.inference_mode():
        scores = trained.net(inputs).softmax(1)[0]
    heat = heat_maps(trained.net, inputs, layer or default_layer(trained.model), chosen)[0].numpy()
    best = int(scores.argmax())
    return f"{trained.classes[best]} {scores[best]:.3f}", overlay(np.asarray(picture, np.uint8), heat)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = ArgumentParser(prog="python -m tools.gradcam", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--layer", help="default: the finest taught maps")
    parser.add_argument("--class", dest="class_name", help="default: the verdict")
    parser.add_argument("--out", type=Path, default=Path("heat.png"))
    options = parser.parse_args(arguments)
    try:
        verdict, picture = explain(options.weights, options.picture, options.layer, options.class_name)
        unfinished = options.out.with_name(f"unfinished-{options.out.name}")
        if not cv2.imwrite(str(unfinished), picture):
            raise TrainError(f"{options.out}: not written; expected a name that ends in .png or .jpg")
        unfinished.replace(options.out)
    except (EdgeError, OSError, cv2.error) as error:
        sys.exit(f"gradcam: {error}")
    print(f"{verdict}: {options.out}")


if __name__ == "__main__":
    main()
