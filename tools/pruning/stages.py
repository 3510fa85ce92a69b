"""Several rounds of measuring, cutting and healing; a killed run goes on with the round it was in."""

import copy
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tools.errors import TrainError
from tools.pruning.cut import batch_norms, cut, macs_and_weights, stage_channels
from tools.pruning.importance import measure_worth
from tools.training.fit import Recipe, Report, Training, logits
from tools.training.guide import guided_places
from tools.training.sets import Labelled
from tools.training.weights import Trained, load_weights, save_weights
from tools.training.zoo import network


@dataclass(frozen=True)
class Plan:
    """``share`` of the channels of conv3_x–conv5_x goes, in ``rounds`` rounds of equal proportion."""

    share: float
    rounds: int
    recipe: Recipe
    """Of the healing after every round."""
    examples: int = 512
    """Pictures on which the worth of the channels is measured."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 0.9:
            raise TrainError(f"share is {self.share}: expected between 0 and 0.9, such as 0.28")
        if self.rounds < 1:
            raise TrainError(f"rounds is {self.rounds}: expected at least 1")

    @property
    def share_per_round(self) -> float:
        """What goes of what is left."""
        return float(1 - (1 - self.share) ** (1 / self.rounds))


@dataclass(frozen=True)
class Round:
    """One cut and its healing. Accuracies on the validation set."""

    channels: int
    macs: float
    weights: float
    accuracy_cut: float
    accuracy_healed: float
    seconds: float
    """Of the healing."""


@dataclass(frozen=True)
class Pruning:
    """A plan and the pictures it is carried out on."""

    plan: Plan
    train: Labelled
    validation: Labelled
    report: Report

    def run(self, base: Trained, work: Path) -> tuple[Trained, list[Round]]:
        """The pruned network and its rounds. Finished rounds are read back from ``work``."""
        current, rounds = copy.deepcopy(base), []
        for number in range(self.plan.rounds):
            folder = work / f"round-{number + 1}"
            done = folder / "round.json"
            if done.exists():
                finished = Round(**json.loads(done.read_text(encoding="utf-8")))
                current = load_weights(folder / "weights.pt")
            else:
                current, finished = self._round(self._cut(current, folder), folder)
                save_weights(folder / "weights.pt", current)
                done.write_text(json.dumps(asdict(finished)) + "\n", encoding="utf-8")
            rounds.append(finished)
        return current, rounds

    def _cut(self, before: Trained, folder: Path) -> Trained:
        """Cuts once: a resumed round heals the very same network."""
        path = folder / "cut.pt"
        if not path.exists():
            net = before.net.to(memory_format=torch.contiguous_format)
            order = np.random.default_rng(self.plan.recipe.seed).permutation(len(self.train.labels))
            examples = self.train.take(np.sort(order[: self.plan.examples]))
            cut(net, measure_worth(net, examples, batch_norms(net)), self.plan.share_per_round, before.size)
            save_weights(path, before)
        return load_weights(path)

    def _round(self, narrowed: Trained, folder: Path) -> tuple[Trained, Round]:
        net = narrowed.net.to(memory_format=torch.channels_last)
        accuracy_cut = float((logits(net, self.validation).argmax(1) == self.validation.labels).mean())
        guides = guided_places(net, network(narrowed.model).guides)
        name = f"{narrowed.model} cut by {self.plan.share:g} in {self.plan.rounds} rounds"
        training = Training(
            net, self.plan.recipe, self.train, self.validation, folder, name=name, guides=guides
        )
        fitted = training.run(self.report)
        net = fitted.net.cpu().to(memory_format=torch.contiguous_format)
        macs, weights = macs_and_weights(net, narrowed.size)
        seconds = narrowed.seconds + fitted.seconds
        healed = replace(narrowed, net=net, seconds=seconds, accuracy=fitted.best_accuracy)
        finished = Round(
            channels=stage_channels(net),
            macs=macs,
            weights=weights,
            accuracy_cut=accuracy_cut,
            accuracy_healed=fitted.best_accuracy,
            seconds=fitted.seconds,
        )
        return healed, finished
