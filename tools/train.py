"""Trains the demo engines on rendered parts: ``python -m tools.train gate`` or ``classifier``."""

import datetime
import hashlib
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engines.manifest import (
    EngineManifest,
    InputSpec,
    MeasuredSpec,
    PrecisionSpec,
    TrainedSpec,
    write_manifest,
)
from engines.quantize import head_nodes, quantize_u8s8
from tools import measure
from tools.dataset import CALIBRATION, TEST, TRAIN, VALIDATION, PartSet, normalise, render_set
from tools.models import classifier_net, gate_net
from tools.twin.parts import CLASSES, FLAWLESS, NO_PART

MEAN, STD = (0.4, 0.4, 0.4), (0.25, 0.25, 0.25)
_VALIDATION_PARTS, _CALIBRATION_PARTS = 1000, 300


@dataclass(frozen=True)
class Recipe:
    """How one role is trained."""

    role: Literal["gate", "classifier"]
    build: Callable[[int], nn.Module]
    width: int
    height: int
    epochs: int
    batch: int = 64
    top_rate: float = 4e-3
    weight_decay: float = 0.02


RECIPES = {
    recipe.role: recipe
    for recipe in (
        Recipe("gate", gate_net, 192, 144, epochs=12),
        Recipe("classifier", classifier_net, 224, 168, epochs=8),
    )
}


def _to_input(images: Tensor) -> Tensor:
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def _augment(images: Tensor) -> Tensor:
    """Flips, ±0.3 EV with a little white balance, shifts of up to 4 pixels; uint8 in, uint8 out."""
    if torch.rand(()) < 0.5:
        images = images.flip(3)
    if torch.rand(()) < 0.5:
        images = images.flip(2)
    shift = torch.randint(-4, 5, (2,)).tolist()
    images = torch.roll(images, shift, (2, 3))
    count = len(images)
    gain = 2 ** (torch.rand(count, 1, 1, 1) * 0.6 - 0.3) * (1 + 0.03 * torch.randn(count, 3, 1, 1))
    return (images * gain).clamp_(0, 255).round_()


def _fit(net: nn.Module, recipe: Recipe, train: PartSet, validation: PartSet, epochs: int) -> None:
    images, labels = torch.from_numpy(train.images), torch.from_numpy(train.labels)
    steps = len(labels) // recipe.batch
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.top_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.top_rate, epochs=epochs, steps_per_epoch=steps, pct_start=0.25
    )
    for epoch in range(epochs):
        net.train()
        order, total = torch.randperm(len(labels)), 0.0
        for step in range(steps):
            pick = order[step * recipe.batch : (step + 1) * recipe.batch]
            inputs = _to_input(_augment(images[pick]))
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(inputs)
            loss = functional.cross_entropy(logits.float(), labels[pick])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
            if step % 20 == 0:
                print(
                    f"\repoch {epoch + 1}/{epochs} step {step}/{steps} loss {loss.item():.3f} ",
                    end="",
                    flush=True,
                )
        print(
            f"\repoch {epoch + 1}/{epochs} loss {total / steps:.4f} validation {_check(net, validation):.4f}",
            flush=True,
        )


@torch.inference_mode()
def _check(net: nn.Module, parts: PartSet) -> float:
    net.eval()
    hits = 0
    for start in range(0, len(parts.labels), 128):
        logits = net(_to_input(torch.from_numpy(parts.images[start : start + 128])))
        hits += int((logits.argmax(1).numpy() == parts.labels[start : start + 128]).sum())
    return hits / len(parts.labels)


def _export(net: nn.Module, recipe: Recipe, path: Path) -> None:
    """Input ``image`` float32 1×3×H×W, output ``scores`` float32 1×6, opset 17."""
    net = nn.Sequential(net, nn.Softmax(1)).eval().to(memory_format=torch.contiguous_format)
    example = torch.zeros(1, 3, recipe.height, recipe.width)
    torch.onnx.export(
        net,
        (example,),
        str(path),
        input_names=["image"],
        output_names=["scores"],
        opset_version=17,
        dynamo=False,
    )


def _batches(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [image[None] for image in images]


def _measure(fp32: Path, int8: Path, test: PartSet, seed: int) -> MeasuredSpec:
    images = normalise(test.images, MEAN, STD)
    scores_fp32, scores_int8 = measure.score(fp32, images), measure.score(int8, images)
    latency_fp32, latency_int8 = measure.latency_ms([fp32, int8], images[:1])
    print(measure.card(scores_int8, test.labels))
    return MeasuredSpec(
        accuracy_fp32=round(measure.accuracy(scores_fp32, test.labels), 4),
        accuracy_int8=round(measure.accuracy(scores_int8, test.labels), 4),
        escape_rate_at_argmax=round(measure.escape_rate(scores_int8, test.labels), 5),
        latency_ms_fp32=round(latency_fp32, 3),
        latency_ms_int8=round(latency_int8, 3),
        parts=len(test.labels),
        seed=seed,
    )


def _manifest(recipe: Recipe, options: Namespace, model: Path, measured: MeasuredSpec) -> EngineManifest:
    numbers = f"--parts {options.parts} --seed {options.seed} --epochs {options.epochs}"
    return EngineManifest(
        schema=1,
        name=f"twin-{recipe.role}",
        role=recipe.role,
        file=model.name,
        sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
        classes=CLASSES,
        good_class=CLASSES[FLAWLESS],
        empty_class=CLASSES[NO_PART],
        input=InputSpec(
            width=recipe.width, height=recipe.height, channels=3, mean=MEAN, std=STD, resize="area"
        ),
        precision=PrecisionSpec(scheme="u8s8", head="float32"),
        trained=TrainedSpec(
            command=f"python -m tools.train {recipe.role} {numbers}",
            parts=options.parts,
            seed=options.seed,
            date=datetime.datetime.now(datetime.timezone.utc).date(),
        ),
        measured=measured,
    )


def train(recipe: Recipe, options: Namespace) -> EngineManifest:
    """Renders, trains, quantises, measures; the pair replaces the old one only when all is done."""
    torch.manual_seed(options.seed)
    size = (recipe.width, recipe.height)
    training = render_set(TRAIN, options.parts, options.seed, size)
    validation = render_set(VALIDATION, _VALIDATION_PARTS, options.seed, size)
    net = recipe.build(len(CLASSES)).to(memory_format=torch.channels_last)
    _fit(net, recipe, training, validation, options.epochs)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        fp32, int8 = Path(folder) / "fp32.onnx", Path(folder) / f"{recipe.role}.onnx"
        _export(net, recipe, fp32)
        calibration = normalise(
            render_set(CALIBRATION, _CALIBRATION_PARTS, options.seed, size).images, MEAN, STD
        )
        quantize_u8s8(fp32, int8, _batches(calibration), exclude=head_nodes(fp32))
        test = render_set(TEST, options.test_parts, options.seed, size)
        manifest = _manifest(recipe, options, int8, _measure(fp32, int8, test, options.seed))
        if options.keep_fp32:
            fp32.replace(options.keep_fp32)
        int8.replace(options.out / int8.name)
    write_manifest(manifest, options.out / f"{recipe.role}.yaml")
    return manifest


def main() -> None:
    """Command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=sorted(RECIPES))
    parser.add_argument("--parts", type=int, default=14_000)
    parser.add_argument("--test-parts", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=None, help="default: the recipe's")
    parser.add_argument("--out", type=Path, default=Path("engines/models"))
    parser.add_argument("--keep-fp32", type=Path, default=None, help="also keep the float32 graph here")
    options = parser.parse_args()
    recipe = RECIPES[options.role]
    options.epochs = options.epochs or recipe.epochs
    torch.set_num_threads(2)
    print(train(recipe, options).measured)


if __name__ == "__main__":
    main()
