"""Trains a classifier: on twin parts (``python -m tools.train --model resnet50``) or on pictures of your own
(``python -m tools.train --manifest FILE.csv``). A killed run goes on when the same command is started again."""

import json
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engines.whole_file import write_whole
from tools import measure
from tools.command import repeatable, run_job
from tools.dataset import CALIBRATION, TEST, TRAIN, VALIDATION, normalise
from tools.training import export, pictures
from tools.training.augment import Augmentation
from tools.training.fit import MEAN, STD, Fitted, Recipe, Report, Training
from tools.training.guide import guided_places
from tools.training.sets import Labelled, Size, known_classes, manifest_rows, read_split
from tools.training.start import SHIPPED, starting_net
from tools.training.twin_sets import twin_set
from tools.training.weights import Trained, save_weights
from tools.training.zoo import NETWORKS, Network, network
from tools.twin.parts import DEFAULT_LOOK, METAL, PLAIN

_VALIDATION_PARTS, _CALIBRATION_PARTS = 1000, 300
_FOREIGN_SIZE = (160, 160)
_FOREIGN_LIGHT = Augmentation(usual_ev=0.5, extreme_share=0.5, extreme_ev=1.5, quarter_turns=True)
"""Sets of pictures are rarely lit as evenly as a line."""
_LEAST_STEPS = 1500
"""Of a small set: so many epochs that a network learns."""
ROLES = {"gate": "plain-small", "classifier": "plain"}
"""What is trained for a role when no ``--model`` is given."""


def main(arguments: list[str] | None = None) -> None:
    """Command line; errors that a user can mend end with their message and status 1."""
    options = command_parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    run_job(
        "train",
        lambda: train_on_manifest(options) if options.manifest else train_on_twin(options),
        resume="from the last checkpoint",
    )


def command_parser() -> ArgumentParser:
    """Of this command; ``tools.compare`` gives it its arguments too."""
    parser = ArgumentParser(prog="python -m tools.train", description=__doc__)
    parser.add_argument("role", nargs="?", choices=sorted(ROLES), default="classifier")
    parser.add_argument("--model", choices=sorted(NETWORKS), help="default: the plain network of the role")
    parser.add_argument("--manifest", type=Path, help="CSV with path, class, split (train, val), group")
    parser.add_argument("--prefix", default="", help="only rows of the manifest whose path begins so")
    parser.add_argument("--parts", type=int, default=14_000)
    parser.add_argument("--test-parts", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--look", choices=(PLAIN, METAL), default=DEFAULT_LOOK, help="of the twin's parts")
    parser.add_argument(
        "--severity-power", type=float, default=1.0, help="2: half of the defects learnt from are below 0.25"
    )
    parser.add_argument(
        "--marked",
        type=int,
        default=0,
        help="so many further parts with marks of many kinds, told apart while training only: features for what nobody "
        "named yet",
    )
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--size", type=_size, help="WIDTHxHEIGHT of the input")
    parser.add_argument(
        "--small-share", type=float, default=0.0, help="share of the steps at 2/3 of the size"
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        help="weights.pt of an earlier training of the same network, or its finished engine (.onnx); with other "
        "classes its features alone. With --manifest and no --model: the shipped classifier",
    )
    parser.add_argument("--work", type=Path, help="checkpoints, weights, curves; default: runs/NAME")
    parser.add_argument("--out", type=Path, help="install engine and manifest here, e.g. engines/models")
    parser.add_argument("--name", help="of the installed files; default: the role")
    parser.add_argument("--cache", type=Path, help="folder of rendered sets")
    parser.add_argument("--threads", type=int)
    return parser


def _size(text: str) -> Size:
    width, height = (int(part) for part in text.split("x"))
    return width, height


def train_on_twin(options: Namespace) -> dict[str, object]:
    """Renders, trains, exports, quantises and examines; installs the engine when ``--out`` says where."""
    entry = network(options.model or ROLES[options.role])
    size = options.size or (entry.width, entry.height)
    work = options.work or Path("runs") / f"twin-{entry.name}"

    def parts(namespace: str, count: int, power: float = 1.0, marked: int = 0) -> Labelled:
        return twin_set(
            namespace,
            count,
            options.seed,
            size,
            options.cache,
            look=options.look,
            severity_power=power,
            marked=marked,
        )

    train = parts(TRAIN, options.parts, options.severity_power, options.marked)
    # Marks are examined too: by its verdicts alone the first check would win, before the features know any.
    validation = parts(VALIDATION, _VALIDATION_PARTS, marked=min(options.marked, _VALIDATION_PARTS))
    epochs = options.epochs or entry.epochs
    task = _Task(entry, size, train, validation, work, Augmentation(), options.start_from, epochs)
    trained, fitted = _train(task, options)
    test, calibration = parts(TEST, options.test_parts), parts(CALIBRATION, _CALIBRATION_PARTS)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        fp32, int8 = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        examined = export_and_examine(trained, fp32, int8, calibration, test)
        measured = export.measured_spec(examined, options.seed)
        if options.out:
            command = repeatable("tools.train")
            origin = export.Origin(
                options.role, command, options.parts, options.seed, size, options.name or options.role
            )
            export.install(int8, options.out, origin, measured)
        fp32.replace(work / fp32.name)
        int8.replace(work / int8.name)
    print(measure.card(examined.scores_int8, test.labels))
    return _report(work, trained, fitted, test, examined.scores_int8) | measured.model_dump()


def export_and_examine(
    trained: Trained, fp32: Path, int8: Path, calibration: Labelled, test: Labelled
) -> export.Examined:
    """Both graphs, checked against torch and scored on ``test``."""
    export.export_onnx(trained.net, fp32, trained.size, normalise(test.images[:16], MEAN, STD))
    export.quantise(fp32, int8, calibration.images)
    return export.examine(fp32, int8, test)


def train_on_manifest(options: Namespace) -> dict[str, object]:
    """Trains on the split ``train`` and examines on ``val``; nothing is installed, the weights are yours.

    Without ``--model`` it begins with the features of the shipped classifier, which knows rendered parts only.
    """
    entry = network(options.model or ROLES["classifier"])
    size = options.size or _FOREIGN_SIZE
    rows = manifest_rows(options.manifest, options.prefix)
    classes = known_classes(rows)
    train, validation = (read_split(rows, split, classes, size) for split in ("train", "val"))
    work = options.work or Path("runs") / f"{options.prefix.strip('/') or options.manifest.stem}-{entry.name}"
    start = options.start_from or (None if options.model else SHIPPED)
    least = _LEAST_STEPS * (options.batch or entry.batch) / len(train.labels)
    epochs = options.epochs or max(entry.epochs, least)
    task = _Task(entry, size, train, validation, work, _FOREIGN_LIGHT, start, epochs)
    trained, fitted = _train(task, options)
    fp32 = work / "fp32.onnx"
    export.export_onnx(trained.net, fp32, size, normalise(validation.images[:16], MEAN, STD))
    return _report(work, trained, fitted, validation, export.score(fp32, validation.images))


@dataclass(frozen=True)
class _Task:
    entry: Network
    size: Size
    train: Labelled
    validation: Labelled
    work: Path
    augmentation: Augmentation
    start_from: Path | None
    epochs: float


def _train(task: _Task, options: Namespace) -> tuple[Trained, Fitted]:
    entry = task.entry
    torch.manual_seed(options.seed)
    net, earlier = starting_net(entry, task.train, task.size, task.start_from)
    recipe = Recipe(
        epochs=task.epochs,
        batch=options.batch or entry.batch,
        top_rate=options.rate or entry.top_rate,
        weight_decay=entry.weight_decay,
        seed=options.seed,
        small_share=options.small_share,
        patience=max(Recipe.patience, round(task.epochs / 3)),
        augmentation=task.augmentation,
        bfloat16_on_cpu=entry.bfloat16_on_cpu,
    )
    guides = guided_places(net, entry.guides)
    training = Training(net, recipe, task.train, task.validation, task.work, name=entry.name, guides=guides)
    with progress_bar() as progress:
        fitted = training.run(bar(progress, f"train {entry.name}"))
    seconds, classes = fitted.seconds + earlier, task.train.verdicts
    trained = Trained(fitted.net.cpu(), entry.name, task.size, classes, seconds, fitted.best_accuracy)
    save_weights(task.work / "weights.pt", trained)
    return trained, fitted


def progress_bar() -> Progress:
    """Steps, loss and times."""
    words = TextColumn("{task.description} {task.completed}/{task.total} {task.fields[figures]}")
    return Progress(words, BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())


def bar(progress: Progress, title: str) -> Report:
    """A progress bar as the trainer reports to it; on a log file a line per hundred steps."""
    task = progress.add_task(title, figures="")

    def report(step: int, steps: int, loss: float, best: float) -> None:
        figures = f"loss {loss:.3f} best {100 * max(0.0, best):.2f} %"
        progress.update(task, completed=step, total=steps, figures=figures)
        if not progress.console.is_terminal and (step % 100 == 0 or step == steps):
            print(f"{title} {step}/{steps} {figures}", flush=True)

    return report


def _report(
    work: Path, trained: Trained, fitted: Fitted, examined: Labelled, scores: np.ndarray
) -> dict[str, object]:
    table = measure.confusion(scores, examined.labels, len(examined.classes))
    pictures.curves(fitted.history, work / "curves.png", trained.model)
    pictures.confusion(table, examined.classes, work / "confusion.png", trained.model)
    report: dict[str, object] = {
        "model": trained.model,
        "classes": list(trained.classes),
        "pictures": len(examined.labels),
        "accuracy": round(measure.accuracy(scores, examined.labels), 5),
        "recall": {
            name: round(float(hit / max(1, row.sum())), 5)
            for name, hit, row in zip(examined.classes, table.diagonal(), table, strict=True)
        },
        "training_seconds": round(trained.seconds, 1),
        "history": fitted.history,
    }
    write_whole(work / "report.json", json.dumps(report, indent=2) + "\n")
    return {key: value for key, value in report.items() if key != "history"}


if __name__ == "__main__":
    main()
