"""Graphs that others export, with random weights: classifiers of torchvision and layouts of detectors."""

import csv
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'edge-inspection[train]'")

from torch import Tensor, nn  # noqa: E402

from engines.errors import GraphError  # noqa: E402
from engines.graph import load_simplified  # noqa: E402
from engines.parity import compare, outputs  # noqa: E402
from tools.quantise.__main__ import main  # noqa: E402
from tools.training.torchvision_models import torchvision_models  # noqa: E402


def conv(inside: int, outside: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inside, outside, 3, stride, 1, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outside), nn.SiLU())


class OneOutput(nn.Module):
    """YOLO-like: SiLU, split and concat, pyramid pooling, upsampling; all scales in one 1×N×(5 + classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down, self.deep = conv(3, 16, 2), conv(16, 32, 2), conv(32, 32, 2)
        self.pool, self.up = nn.MaxPool2d(5, 1, 2), nn.Upsample(scale_factor=2, mode="nearest")
        self.neck = conv(96, 32)
        self.heads = nn.ModuleList([nn.Conv2d(32, 9, 1), nn.Conv2d(64, 9, 1)])

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down(self.stem(x))
        a, b = fine.chunk(2, 1)
        fine = torch.cat([a, b + a], 1)
        deep = self.deep(fine)
        deep = torch.cat([deep, self.pool(deep)], 1)
        fine = self.neck(torch.cat([fine, self.up(deep)], 1))
        found = [head(f).flatten(2).transpose(1, 2) for head, f in zip(self.heads, (fine, deep), strict=True)]
        return torch.cat(found, 1).sigmoid()


class SeveralOutputs(nn.Module):
    """SSD- or NanoDet-like: scores and boxes of two strides as four outputs; depthwise convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, 2), conv(16, 16, 2, groups=16), conv(16, 32))
        self.deep = nn.Sequential(conv(32, 32, 2, groups=32), conv(32, 32))
        self.scores = nn.ModuleList([nn.Conv2d(32, 3, 1) for _ in range(2)])
        self.boxes = nn.ModuleList([nn.Conv2d(32, 4, 3, padding=1) for _ in range(2)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        fine = self.stem(x)
        maps = (fine, self.deep(fine))
        scores = [head(f).sigmoid() for head, f in zip(self.scores, maps, strict=True)]
        return (*scores, *(head(f) for head, f in zip(self.boxes, maps, strict=True)))


FOREIGN: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: torchvision_models().resnet18(),
    "mobilenet_v3_small": lambda: torchvision_models().mobilenet_v3_small(),
    "detector, one output": OneOutput,
    "detector, several outputs": SeveralOutputs,
}


def export(net: nn.Module, path: Path, *, dynamic: bool = False) -> Path:
    axes = {"x": {0: "n"}} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (torch.zeros(1, 3, 64, 64),),
            str(path),
            input_names=["x"],
            dynamic_axes=axes,
            opset_version=13,
            dynamo=False,
        )
    return path


def alive(net: nn.Module) -> nn.Module:
    """Batch norms as after a training: random weights alone let the signal die or explode."""
    rng = torch.Generator().manual_seed(1)
    net.train()
    with torch.no_grad():
        for _ in range(4):
            net(torch.randn(6, 3, 64, 64, generator=rng) * 1.5)
    return net


def colours(rng: np.random.Generator) -> np.ndarray:
    small = rng.integers(40, 160, (9, 9, 3), dtype=np.uint8)
    return cv2.resize(small, (80, 80), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(name="pictures", scope="module")
def _pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colour pictures without a meaning: foreign labels are of no use to these models."""
    folder, rng, rows = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3), []
    for index in range(36):
        cv2.imwrite(str(folder / f"{index}.png"), colours(rng))
        rows.append((f"{index}.png", ("a", "b")[index % 2], ("train", "val", "test")[index // 2 % 3]))
    path = folder / "m.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "class", "split"), *rows])
    return path


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_model_is_planned_calibrated_and_verified(
    name: str, pictures: Path, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    path = export(alive(FOREIGN[name]()), tmp_path / "m.onnx")
    data = ["--data", str(pictures), "--normalise", "imagenet", "--exam-pictures", "12"]
    sizes = ["--pictures", "12", "--choice-pictures", "8", "--exposure-share", "0.34"]
    out = tmp_path / "out"
    main(
        ["plan", str(path), *data, *sizes, "--out", str(out), "--layer-pictures", "2", "--method", "entropy"]
    )
    plan = json.loads((out / "plan.json").read_text())
    assert plan["measure"] == ("fidelity" if "detector" in name else "agreement")
    model = load_simplified(path)
    weighted = [node for node in model.graph.node if node.op_type == "Conv"]
    heads = {"detector, one output": 2, "detector, several outputs": 4}.get(name, 0)
    assert len(plan["layers"]) == len(weighted) - heads
    again = ["calibrate", str(path), *data, *sizes, "--out", str(out), "--plan", str(out / "plan.yaml")]
    main(again)
    grey = [cv2.resize(colours(np.random.default_rng(seed)), (64, 64)) for seed in range(4)]
    inputs = [
        ((picture / 255 - 0.45) / 0.225).astype(np.float32).transpose(2, 0, 1)[None] for picture in grey
    ]
    expected = outputs(model, inputs)
    for graph in ("qdq", "u8s8"):
        found = outputs(onnx.load(out / f"{graph}.onnx"), inputs)
        assert compare(expected, found).cosine > 0.95, graph


def test_a_dynamic_batch_is_refused_with_a_word_how_to_export(tmp_path: Path) -> None:
    path = export(SeveralOutputs(), tmp_path / "m.onnx", dynamic=True)
    with pytest.raises(GraphError, match="export with batch size 1 and without dynamic axes"):
        load_simplified(path)
