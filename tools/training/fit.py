"""The training loop: every step can be repeated from its number, so a killed run goes on where it was."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tools.errors import TrainError
from tools.training import checkpoint
from tools.training.augment import Augmentation, augment, normalised
from tools.training.checkpoint import Progress
from tools.training.guide import Guides
from tools.training.objective import Objective, without_marks
from tools.training.precision import mixed
from tools.training.sets import Labelled

MEAN, STD = (0.4, 0.4, 0.4), (0.25, 0.25, 0.25)
_CHECK_BATCH = 64
_AUGMENT_STREAM, _ORDER_STREAM = 1, 2


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. ``top_rate`` for AdamW, reached after ``warm_up`` of the steps, then a cosine."""

    epochs: float
    batch: int
    top_rate: float
    weight_decay: float
    seed: int
    warm_up: float = 0.08
    small_share: float = 0.0
    """This share of the steps sees the pictures at ``small_scale``: cheap, and most is learnt there."""
    small_scale: float = 2 / 3
    clip_norm: float = 2.0
    label_smoothing: float = 0.0
    patience: int = 6
    """Checks without a new best before the training stops; the best weights are kept."""
    checks_per_epoch: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    bfloat16_on_cpu: bool = True


Report = Callable[[int, int, float, float], None]
"""(step, steps, loss, best accuracy so far) after every step."""


@dataclass(frozen=True)
class Fitted:
    """A trained network in evaluation mode with its best weights."""

    net: nn.Module
    history: list[dict[str, float]]
    best_accuracy: float
    seconds: float
    """Time spent in steps and checks, over all sittings."""


def class_weights(labels: NDArray[np.int64], classes: int) -> Tensor:
    """1/√frequency, scaled so that the mean over the pictures is 1. Raises TrainError for an absent class."""
    counts = np.bincount(labels, minlength=classes)
    if (counts == 0).any():
        raise TrainError(f"classes {np.flatnonzero(counts == 0).tolist()} have no training picture")
    weights = 1 / np.sqrt(counts)
    return torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)


class Training:
    """One network on one set. ``run`` goes on from ``work/checkpoint.pt`` when it is there."""

    def __init__(
        self,
        net: nn.Module,
        recipe: Recipe,
        train: Labelled,
        validation: Labelled,
        work: Path,
        *,
        name: str,
        guides: tuple[tuple[str, int], ...] = (),
        save_every_s: float = 120.0,
    ) -> None:
        if len(train.labels) < recipe.batch:
            raise TrainError(f"{len(train.labels)} training pictures do not fill a batch of {recipe.batch}")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = net.to(self.device)
        self.recipe = recipe
        self._train, self._validation = train, validation
        self._labels = torch.from_numpy(train.labels)
        weights = class_weights(train.labels, len(train.classes))
        self._objective = Objective(train, weights, smoothing=recipe.label_smoothing).to(self.device)
        self._path = work / "checkpoint.pt"
        self._save_every_s = save_every_s
        self._per_epoch = len(train.labels) // recipe.batch
        self.steps = max(1, round(recipe.epochs * self._per_epoch))
        self._check_every = max(1, self._per_epoch // recipe.checks_per_epoch)
        guided = train.cells is not None
        self._guides = Guides(net, guides if guided else (), len(train.classes)).to(self.device)
        self._learner = nn.ModuleList((self.net, self._guides))
        self._optimiser = torch.optim.AdamW(
            self._learner.parameters(), recipe.top_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self._fingerprint = f"{name}, {len(train.labels)} pictures {train.images.shape[1:]}, {recipe}"

    def run(self, report: Report = lambda *_: None, stop_after: int | None = None) -> Fitted:
        """Trains to the end (or for ``stop_after`` steps from here: what a kill would leave, for tests).

        Raises TrainError when the loss is no number; the last checkpoint stays as it was.
        """
        torch.manual_seed(self.recipe.seed)
        progress = self._resume()
        begun, saved = time.monotonic() - progress.seconds, time.monotonic()
        last = self.steps if stop_after is None else min(self.steps, progress.step + stop_after)
        while progress.step < last and not self._out_of_patience(progress):
            loss = self._step(progress.step)
            progress.step += 1
            progress.seconds = time.monotonic() - begun
            if progress.step % self._check_every == 0 or progress.step == self.steps:
                self._check(progress, loss)
            if time.monotonic() - saved > self._save_every_s or progress.step == last:
                checkpoint.save(self._path, progress, self._learner, self._optimiser)
                saved = time.monotonic()
            report(progress.step, self.steps, loss, progress.best_accuracy)
        self._guides.close()
        if progress.best is not None and (progress.step == self.steps or self._out_of_patience(progress)):
            self.net.load_state_dict(progress.best)
        net = without_marks(self.net, self._train)
        return Fitted(net.eval(), progress.history, progress.best_accuracy, progress.seconds)

    def _resume(self) -> Progress:
        found = checkpoint.resume(self._path, self._fingerprint, self._learner, self._optimiser)
        return found or Progress(self._fingerprint)

    def _out_of_patience(self, progress: Progress) -> bool:
        return progress.step - progress.best_step > self.recipe.patience * self._check_every

    def _step(self, step: int) -> float:
        self.net.train()
        rate = self._rate(step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        inputs, labels, cells = self._batch(step)
        with mixed(self.device.type, self.recipe.bfloat16_on_cpu):
            logits = self.net(inputs)
        loss: Tensor = self._objective(logits.float(), labels)
        if cells is not None:
            loss = loss + self._guides.loss(cells)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainError(
                f"the loss is {value} at step {step + 1} of {self.steps} (rate {rate:.2g}); expected a number: "
                "the last checkpoint is intact; try a lower --rate, and look at the pictures"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip_norm)
        self._optimiser.step()
        return float(value)

    def _batch(self, step: int) -> tuple[Tensor, Tensor, Tensor | None]:
        epoch, place = divmod(step, self._per_epoch)
        order = torch.randperm(len(self._labels), generator=self._chance(_ORDER_STREAM, epoch))
        pick = order[place * self.recipe.batch : (place + 1) * self.recipe.batch]
        images = torch.from_numpy(self._train.images[pick.numpy()])
        stored = self._train.cells
        cells = None if stored is None else torch.from_numpy(stored[pick.numpy()]).long()
        chance = self._chance(_AUGMENT_STREAM, step)
        changed, cells = augment(images, cells, self.recipe.augmentation, chance)
        inputs = normalised(changed, MEAN, STD, self._small_size(step)).to(self.device)
        return inputs, self._labels[pick].to(self.device), None if cells is None else cells.to(self.device)

    def _chance(self, stream: int, number: int) -> torch.Generator:
        seed = int(np.random.SeedSequence([self.recipe.seed, stream, number]).generate_state(1)[0])
        return torch.Generator().manual_seed(seed)

    def _small_size(self, step: int) -> tuple[int, int] | None:
        if step >= self.recipe.small_share * self.steps:
            return None
        height, width = (round(side * self.recipe.small_scale) for side in self._train.images.shape[2:])
        return height, width

    def _rate(self, step: int) -> float:
        rising = max(1, round(self.recipe.warm_up * self.steps))
        if step < rising:
            return self.recipe.top_rate * (step + 1) / rising
        gone = (step - rising) / max(1, self.steps - rising)
        return self.recipe.top_rate * max(0.002, 0.5 * (1 + math.cos(math.pi * gone)))

    def _check(self, progress: Progress, loss: float) -> None:
        size, bfloat16 = self._small_size(progress.step - 1), self.recipe.bfloat16_on_cpu
        scores = logits(self.net, self._validation, size, bfloat16_on_cpu=bfloat16)
        accuracy = float((scores.argmax(1) == self._validation.labels).mean())
        progress.history.append(
            {
                "step": progress.step,
                "epoch": progress.step / self._per_epoch,
                "loss": loss,
                "rate": self._rate(progress.step - 1),
                "accuracy": accuracy,
            }
        )
        # Later weights win a draw: the cosine has brought them further.
        if accuracy >= progress.best_accuracy:
            progress.best_accuracy, progress.best_step = accuracy, progress.step
            progress.best = copy.deepcopy(self.net.state_dict())


@torch.inference_mode()
def logits(
    net: nn.Module,
    pictures: Labelled,
    size: tuple[int, int] | None = None,
    *,
    bfloat16_on_cpu: bool = True,
) -> NDArray[np.float32]:
    """N×classes; ``size`` (height, width) shrinks the pictures first."""
    net.eval()
    device = next(net.parameters()).device
    parts = []
    for start in range(0, len(pictures.labels), _CHECK_BATCH):
        images = torch.from_numpy(np.ascontiguousarray(pictures.images[start : start + _CHECK_BATCH]))
        with mixed(device.type, bfloat16_on_cpu):
            values = net(normalised(images, MEAN, STD, size).to(device))
        parts.append(values.float().cpu().numpy())
    return np.concatenate(parts)
