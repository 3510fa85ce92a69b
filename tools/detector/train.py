"""Trains a gate detector: on twin parts (``python -m tools.detector.train``) or on pictures of your own
(``--manifest FILE.csv``). A killed run goes on when the same command is started again."""

import json
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

import torch

from tools.command import repeatable, run_job
from tools.dataset import CALIBRATION, TEST, TRAIN, VALIDATION
from tools.detector import export, foreign
from tools.detector.backbones import BACKBONES
from tools.detector.errors import DetectorError
from tools.detector.fit import Recipe, Training, to_input
from tools.detector.judge import watch_twin
from tools.detector.net import Detector, NetSpec
from tools.detector.sets import TWIN_BOX_CLASSES, BoxSet, twin_set
from tools.detector.warm_start import warm_start
from tools.twin.parts import DEFAULT_LOOK, METAL, PLAIN

_VALIDATION_PARTS, _CALIBRATION_PARTS = 1500, 300
_PART_WEIGHT = 0.2
_MODULE = "tools.detector.train"


def main(arguments: list[str] | None = None) -> None:
    """Command line; errors that a user can mend end with their message and status 1."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    run_job(
        "train",
        lambda: _on_manifest(options) if options.manifest else _on_twin(options),
        resume="from the last whole epoch",
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m tools.detector.train", description=__doc__)
    parser.add_argument("--manifest", type=Path, help="CSV with path, split (train, val, test), boxes, group")
    parser.add_argument("--prefix", default="", help="only rows of the manifest whose path begins so")
    parser.add_argument("--size", type=_size, help="WIDTHxHEIGHT or one number; default 192x144, foreign 320")
    parser.add_argument(
        "--window",
        type=_size,
        help="with --manifest: learn from random windows of this size out of the picture of --size",
    )
    parser.add_argument("--parts", type=int, default=12_000)
    parser.add_argument("--test-parts", type=int, default=10_000)
    parser.add_argument("--look", choices=(PLAIN, METAL), default=DEFAULT_LOOK, help="of the twin's parts")
    parser.add_argument(
        "--severity-power", type=float, default=1.0, help="2: half of the defects learnt from are below 0.25"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--backbone", choices=sorted(BACKBONES), default="plain")
    parser.add_argument("--backbone-from", type=Path, help="ONNX of a plain classifier gate to begin with")
    parser.add_argument(
        "--start-from",
        type=Path,
        help="checkpoint of an earlier training of the same network, or its finished engine (.onnx)",
    )
    parser.add_argument("--channels", type=int, default=64, help="of the PAN")
    parser.add_argument("--strides", type=_strides, help="default 8,16,32; foreign 8,16,32,64")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="gate_detector")
    parser.add_argument("--out", type=Path, default=Path("engines/models"))
    parser.add_argument(
        "--work", type=Path, default=Path("runs/detector"), help="checkpoint, sets, float32 graph"
    )
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height or width)


def _strides(text: str) -> tuple[int, ...]:
    return tuple(int(value) for value in text.split(","))


def _on_twin(options: Namespace) -> dict[str, object]:
    size = options.size or (192, 144)
    spec = NetSpec(
        len(TWIN_BOX_CLASSES),
        size[0],
        size[1],
        options.backbone,
        options.channels,
        options.strides or (8, 16, 32),
    )
    weights = (_PART_WEIGHT, *(1.0,) * (spec.classes - 1))
    recipe = Recipe(
        options.epochs,
        options.seed,
        options.batch,
        options.rate,
        warm_share=0.15,
        class_weight=weights,
        guided=not _from_engine(options),
    )

    def parts(namespace: str, count: int, power: float = 1.0) -> BoxSet:
        return twin_set(
            namespace, count, options.seed, size, options.work, look=options.look, severity_power=power
        )

    validation = parts(VALIDATION, _VALIDATION_PARTS)
    train = parts(TRAIN, options.parts, options.severity_power)
    net = _trained(options, spec, recipe, train, validation)
    return export.twin_engine(
        net,
        validation,
        parts(CALIBRATION, _CALIBRATION_PARTS),
        parts(TEST, options.test_parts),
        export.Target(
            options.out,
            options.name,
            repeatable(_MODULE),
            options.parts,
            options.seed,
            float_graph=options.work / f"{options.name}.fp32.onnx",
        ),
    )


def _from_engine(options: Namespace) -> bool:
    return options.start_from is not None and options.start_from.suffix == ".onnx"


def _trained(
    options: Namespace, spec: NetSpec, recipe: Recipe, data: BoxSet, validation: BoxSet | None
) -> Detector:
    training = Training(spec, recipe, data, options.work / f"{options.name}.pt")
    if options.start_from and training.epoch == 0:
        (training.start_from_engine if _from_engine(options) else training.start_from)(options.start_from)
    elif options.backbone_from and training.epoch == 0:
        example = to_input(torch.from_numpy(data.images[:: max(1, len(data.images) // 256)][:256]))
        taken = warm_start(training.net.backbone, options.backbone_from, example)
        print(f"{taken} layers from {options.backbone_from}")
    return training.run(None if validation is None else lambda training: watch_twin(validation, training))


def _on_manifest(options: Namespace) -> dict[str, object]:
    size = options.size or (320, 320)
    train = foreign.load(options.manifest, "train", size, options.prefix)
    if not train.classes:
        raise DetectorError(
            f"{options.manifest}: no boxes in the rows of split 'train'; expected some to learn"
        )
    strides = options.strides or (8, 16, 32, 64)
    spec = NetSpec(len(train.classes), size[0], size[1], options.backbone, options.channels, strides)
    window = options.window or size
    if window[0] > size[0] or window[1] > size[1]:
        raise DetectorError(
            f"--window {window[0]}x{window[1]}: expected no more than --size, {size[0]}x{size[1]}"
        )
    guided = not _from_engine(options)
    recipe = Recipe(options.epochs, options.seed, options.batch, options.rate, foreign=True, guided=guided)
    learns = replace(spec, width=window[0], height=window[1])
    net = _trained(options, learns, recipe, train.boxes, None)
    net.spec = spec
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.name}.onnx"
    export.export(net, path)
    report: dict[str, object] = {
        "command": repeatable(_MODULE),
        "model": str(path),
        "classes": list(train.classes),
    }
    for split in ("val", "test"):
        data = foreign.load(options.manifest, split, size, options.prefix, train.classes)
        if len(data.boxes.images):
            report[split] = foreign.score(net, data)
    path.with_suffix(".json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    return report


if __name__ == "__main__":
    main()
