"""How well a finished backbone learns other pictures than it was trained on, from K of each class:
``python -m tools.few_shot --manifest FILE.csv --samples 10``, or ``--twin`` for the twin's harder look ``metal``.

Only a linear head is fitted, in seconds and without torch; the INT8 backbone stays as it was built."""

import json
import statistics
import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.bank import Bank, Read, make_bank
from calibration.console import told
from calibration.engines import engine_named
from calibration.errors import CalibrationError
from calibration.first_head import COPIES, examples, first_head
from calibration.pictures import Picture, Pixels, read_frame, read_manifest, split_by_group
from calibration.taps import Backbone, open_backbone
from calibration.teach import Say, scores_of
from edge._core import PixelFormat
from engines.manifest import load_manifest
from engines.whole_file import write_whole
from tools.command import run_job
from tools.measure import confusion
from tools.training import pictures
from tools.twin.parts import CLASSES, METAL, plan_parts
from tools.twin.render import CameraModel, render, warm_up

_EXAM_SHARE = 0.3


@dataclass(frozen=True)
class Data:
    """What is learned from and what is asked for."""

    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    test: tuple[Picture, ...]
    read: Read = read_frame


def main(arguments: list[str] | None = None) -> None:
    """Command line; errors that a user can mend end with their message and status 1."""
    options = _parser().parse_args(arguments)
    run_job("few-shot", lambda: run(options), resume="from the beginning")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m tools.few_shot", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--manifest", type=Path, help="CSV with path, class; better also split and group")
    source.add_argument("--twin", action="store_true", help="parts of the look metal")
    parser.add_argument("--prefix", default="", help="only rows of the manifest whose path begins so")
    parser.add_argument("--samples", type=int, help="pictures per class; default: all of the training split")
    parser.add_argument("--engine", default="shipped:classifier", help="whose backbone looks")
    parser.add_argument("--copies", type=int, default=COPIES, help="altered copies of each picture")
    parser.add_argument("--test-parts", type=int, default=2000, help="of the twin")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--runs", type=int, default=3, help="draws of the pictures, with seeds from --seed on"
    )
    parser.add_argument("--report", type=Path, help="JSON")
    parser.add_argument("--picture", type=Path, help="confusion of all runs, PNG")
    return parser


def run(options: Namespace) -> dict[str, Any]:
    """Raises CalibrationError: bad data, too few pictures of a class."""
    backbone = open_backbone(load_manifest(engine_named(options.engine)))
    data = _twin(options) if options.twin else _manifest(options)
    with told() as say:
        exam = make_bank(backbone, data.test, data.classes, say, read=data.read)
        runs = [
            _run(options, backbone, data, exam, seed=seed, say=say)
            for seed in range(options.seed, options.seed + options.runs)
        ]
    table = np.sum([found for found, _ in runs], axis=0)
    figures = [said for _, said in runs]
    shares = [said["accuracy"] for said in figures]
    report = {
        "data": "twin, look metal"
        if options.twin
        else options.manifest.name + (f", {options.prefix}" if options.prefix else ""),
        "backbone": options.engine,
        "samples_per_class": options.samples or "all",
        "test_pictures": len(data.test),
        "accuracy": round(statistics.median(shares), 5),
        "accuracy_lowest": min(shares),
        "accuracy_highest": max(shares),
        "recall": {
            name: round(float(row[index] / max(1, row.sum())), 5)
            for index, (name, row) in enumerate(zip(data.classes, table, strict=True))
        },
        "runs": figures,
    }
    if options.report:
        write_whole(options.report, json.dumps(report, indent=2) + "\n")
    if options.picture:
        pictures.confusion(table, data.classes, options.picture, f"{report['samples_per_class']} per class")
    return report


def _run(
    options: Namespace, backbone: Backbone, data: Data, exam: Bank, *, seed: int, say: Say
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    chosen = _draw(data, options.samples, seed)
    begun = time.monotonic()
    lesson = examples(backbone, chosen, data.classes, seed, copies=options.copies, say=say, read=data.read)
    found = first_head(lesson, seed, say)
    seconds = time.monotonic() - begun
    scores = scores_of(found.head, exam.taps, exam.logits).astype(np.float32)
    return confusion(scores, exam.labels, len(data.classes)), {
        "seed": seed,
        "accuracy": round(float((scores.argmax(1) == exam.labels).mean()), 5),
        "accuracy_by_cross_validation": round(found.accuracy, 5),
        "way": str(found.way),
        "pictures": len(chosen),
        "seconds": round(seconds, 1),
    }


def _draw(data: Data, samples: int | None, seed: int) -> list[Picture]:
    """``samples`` pictures of each class. Raises CalibrationError: a class has fewer."""
    rng = np.random.default_rng([seed, 53])
    chosen: list[Picture] = []
    for name in data.classes:
        own = [picture for picture in data.train if picture.label == name]
        if len(own) < (samples or 2):
            raise CalibrationError(
                f"{len(own)} training pictures of '{name}', expected at least {samples or 2}: lower --samples, or "
                "give more pictures"
            )
        chosen += [own[i] for i in sorted(rng.permutation(len(own))[: samples or len(own)])]
    return chosen


def _manifest(options: Namespace) -> Data:
    found = [
        picture
        for picture in read_manifest(options.manifest)
        if str(picture.path.relative_to(options.manifest.parent)).startswith(options.prefix)
    ]
    if not found:
        raise CalibrationError(f"{options.manifest}: no path begins with '{options.prefix}'")
    parted = split_by_group(found, _EXAM_SHARE, options.seed)
    train, test = (tuple(p for p in parted if (p.split == "train") == learn) for learn in (True, False))
    if not test:
        raise CalibrationError(
            f"{options.manifest}: every picture is for training; expected some with another split, such as 'val'"
        )
    return Data(tuple(sorted({p.label for p in found})), train, test)


def _twin(options: Namespace) -> Data:
    """Pictures that are rendered when they are looked at: their path is the number of the part."""
    pool = 40 * max(10, options.samples or 50)  # so many that the rarest class, empty belt, has enough
    plans = {
        "train": plan_parts(
            pool, options.seed, 0.65, ghost_share=0.06, namespace="few-shot-train", look=METAL
        ),
        "test": plan_parts(
            options.test_parts, options.seed, 0.65, ghost_share=0.06, namespace="few-shot-test", look=METAL
        ),
    }
    camera = CameraModel()
    warm_up(camera)
    specs = {f"{split}/{spec.index}": spec for split, plan in plans.items() for spec in plan}

    def read(picture: Picture) -> tuple[Pixels, PixelFormat]:
        return render(specs[str(picture.path)], camera).pixels, PixelFormat.BAYER_RG8

    def made(split: str) -> tuple[Picture, ...]:
        return tuple(
            Picture(
                Path(split) / str(spec.index), CLASSES[spec.class_id], split, group=f"{split}/{spec.index}"
            )
            for spec in plans[split]
        )

    return Data(CLASSES, made("train"), made("test"), read)


if __name__ == "__main__":
    main()
