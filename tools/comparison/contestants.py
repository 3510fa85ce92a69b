"""Who takes part: each network is trained once, by the commands that a user would type, and kept in its folder."""

import json
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from engines.whole_file import write_whole
from tools import prune, train
from tools.pruning.cut import macs_and_weights
from tools.training.weights import load_weights

PRUNED = "resnet50, pruned"
_ARGUMENTS = "arguments.json"


@dataclass(frozen=True)
class Contestant:
    """A trained network and both of its graphs."""

    name: str
    fp32: Path
    int8: Path
    macs: float
    """Multiply-accumulates per picture."""
    weights: float
    training_seconds: float
    """In steps and checks, over all stages; a pruned network has its base's in it."""


@dataclass(frozen=True)
class Settings:
    """What is the same for all. ``epochs`` None: what the zoo says of each network."""

    size: str
    parts: int
    test_parts: int
    seed: int
    look: str
    work: Path
    cache: Path
    epochs: float | None = None
    prune_share: float = 0.28
    prune_epochs: float = 0.7
    threads: int | None = None

    def folder(self, name: str) -> Path:
        """Where a network's training is kept."""
        return self.work / name.replace(", ", "-")

    def data(self) -> list[str]:
        """Arguments that training and pruning share."""
        given = {"parts": self.parts, "test-parts": self.test_parts, "seed": self.seed, "look": self.look}
        given |= {"cache": self.cache}
        if self.threads:
            given |= {"threads": self.threads}
        return [word for name, value in given.items() for word in (f"--{name}", str(value))]


def trained(model: str, settings: Settings) -> Contestant:
    """Trains ``model``, or takes what an earlier, equal call left. Raises TrainError."""
    work = settings.folder(model)
    arguments = [*settings.data(), "--model", model, "--size", settings.size, "--work", str(work)]
    if settings.epochs is not None:
        arguments += ["--epochs", str(settings.epochs)]
    options = train.command_parser().parse_args(arguments)
    if not _there(work, arguments):
        train.train_on_twin(options)
    return _finished(model, work, arguments)


def pruned(settings: Settings) -> Contestant:
    """The same for the pruned ResNet50; its base must have been trained before."""
    work = settings.folder(PRUNED)
    weights = settings.folder("resnet50") / "weights.pt"
    arguments = [*settings.data(), "--weights", str(weights), "--share", str(settings.prune_share)]
    arguments += ["--epochs", str(settings.prune_epochs), "--work", str(work)]
    options: Namespace = prune.command_parser().parse_args(arguments)
    if not _there(work, arguments):
        prune.run(options)
    return _finished(PRUNED, work, arguments)


def _there(work: Path, arguments: list[str]) -> bool:
    """Was this folder finished by the same arguments?"""
    kept = work / _ARGUMENTS
    return kept.exists() and json.loads(kept.read_text(encoding="utf-8")) == arguments


def _finished(name: str, work: Path, arguments: list[str]) -> Contestant:
    found = load_weights(work / "weights.pt")
    macs, weights = macs_and_weights(found.net, found.size)
    write_whole(work / _ARGUMENTS, json.dumps(arguments) + "\n")
    return Contestant(name, work / "fp32.onnx", work / "int8.onnx", macs, weights, found.seconds)
