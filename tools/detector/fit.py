"""The training loop: deterministic by seed, killed runs go on where the last epoch ended."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from tools.detector.assign import Truth, assign
from tools.detector.augment import augment
from tools.detector.errors import DetectorError
from tools.detector.losses import Layout, Losses, losses
from tools.detector.net import Detector, Exported, Guide, NetSpec, decode, priors
from tools.detector.sets import BoxSet
from tools.training.engine_weights import take_over
from tools.training.precision import mixed

EMA_EVERY = 4
_EXAMPLES = 256
"""Pictures by which the batch norms of an engine's network are set."""
MEAN, STD = (0.4, 0.4, 0.4), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Recipe:
    """How it is trained."""

    epochs: int
    seed: int = 1
    batch: int = 48
    top_rate: float = 3e-3
    weight_decay: float = 0.02
    warm_share: float = 0.2
    ema_decay: float = 0.99
    """Per ``EMA_EVERY`` steps."""
    class_weight: tuple[float, ...] = ()
    """Per class of boxes; empty: all the same."""
    quality_floor: float = 0.5
    foreign: bool = False
    guided: bool = True
    """False: the network itself says which location learns which box, as one that has learned before may."""


def to_input(images: Tensor) -> Tensor:
    """Grey levels to what the engine takes."""
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


class Training:
    """Network, guide, optimiser and average of the weights.

    Foreign pictures may be larger than ``spec`` says: a window of that size is taken from each, anew in every epoch.
    """

    def __init__(self, spec: NetSpec, recipe: Recipe, data: BoxSet, checkpoint: Path | None = None) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.data, self.checkpoint, self.spec = recipe, data, checkpoint, spec
        self.net = Detector(spec).to(memory_format=torch.channels_last)
        self.guide = Guide(spec, self.net.backbone.outputs).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.places = priors(spec)
        weights = torch.tensor(recipe.class_weight or (1.0,) * spec.classes)
        self.layout = Layout(spec, self.places, weights, recipe.quality_floor)
        self.steps = max(1, len(data.images) // recipe.batch)
        learned = [*self.net.parameters(), *self.guide.parameters()]
        self.optimiser = torch.optim.AdamW(learned, lr=recipe.top_rate, weight_decay=recipe.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            recipe.top_rate,
            total_steps=recipe.epochs * self.steps,
            pct_start=recipe.warm_share,
        )
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint)

    def run(self, after_epoch: Callable[["Training"], dict[str, float]] | None = None) -> Detector:
        """Trains to the end; returns the averaged network."""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns) as progress:
            total = self.recipe.epochs * self.steps
            task = progress.add_task("training", total=total, completed=self.epoch * self.steps)
            while self.epoch < self.recipe.epochs:
                row = self._one_epoch(lambda text: progress.update(task, advance=1, description=text))
                self.epoch += 1
                row |= after_epoch(self) if after_epoch else {}
                self.history.append(row)
                progress.console.print(" ".join(f"{key} {value:.4g}" for key, value in row.items()))
                if self.checkpoint is not None:
                    self._save(self.checkpoint)
        result: Detector = self.average
        return result

    def _one_epoch(self, report: Callable[[str], None]) -> dict[str, float]:
        self.net.train()
        self.guide.train()
        # Of the epoch alone, so that a run that was killed repeats what it would have done.
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.data.images), generator=generator).numpy()
        sums = np.zeros(3)
        for step in range(self.steps):
            pick = order[step * self.recipe.batch : (step + 1) * self.recipe.batch]
            found = self._step(pick, generator)
            sums += [float(value.detach()) for value in (found.quality, found.box, found.distribution)]
            report(f"epoch {self.epoch + 1}/{self.recipe.epochs} loss {sums.sum() / (step + 1):.3f}")
        quality, box, distribution = (sums / self.steps).tolist()
        return {"epoch": self.epoch + 1, "quality": quality, "box": box, "distribution": distribution}

    def _step(self, pick: NDArray[np.int64], generator: torch.Generator) -> Losses:
        images, truth = torch.from_numpy(self.data.images[pick]), self._truth(pick)
        window = (self.spec.height, self.spec.width)
        images, truth = augment(images, truth, generator, foreign=self.recipe.foreign, window=window)
        with mixed("cpu"):
            features = self.net.backbone(to_input(images))
            raw, levels = self.net.from_features(features)
            outputs = [raw, self.guide(features, levels)] if self.recipe.guided else [raw]
        outputs = [out.float() for out in outputs]
        seen = outputs[-1].detach()
        assigned = assign(
            seen[..., : self.spec.classes].sigmoid(), decode(seen, self.places, self.spec), self.places, truth
        )
        found = [losses(out, assigned, truth, self.layout) for out in outputs]
        total = torch.stack([one.total for one in found]).sum()
        if not torch.isfinite(total):
            raise DetectorError(
                f"epoch {self.epoch + 1}: the loss is {float(total.detach())}; expected a finite number. "
                "Lower --rate and start the same command again: it goes on from the last whole epoch"
            )
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_([*self.net.parameters(), *self.guide.parameters()], 10.0)
        self.optimiser.step()
        self.schedule.step()
        self._follow()
        return found[0]

    def _truth(self, pick: NDArray[np.int64]) -> Truth:
        classes = self.data.classes[pick]
        used = max(1, int((classes >= 0).sum(1).max()))
        return Truth(torch.from_numpy(self.data.boxes[pick, :used]), torch.from_numpy(classes[:, :used]))

    @torch.no_grad()
    def _follow(self) -> None:
        step = self.schedule.last_epoch
        if step % EMA_EVERY:
            return
        updates = step // EMA_EVERY
        decay = min(self.recipe.ema_decay, (1 + updates) / (10 + updates))
        for mine, theirs in zip(
            self.average.state_dict().values(), self.net.state_dict().values(), strict=True
        ):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)

    def _save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        state = {
            "about": self._about(),
            "epoch": self.epoch,
            "history": self.history,
            **{name: getattr(self, name).state_dict() for name in _STATEFUL},
        }
        torch.save(state, temporary)
        temporary.replace(path)

    def start_from(self, path: Path) -> None:
        """Begins with the averaged weights of an earlier training; schedule and optimiser begin anew.

        Raises DetectorError for a damaged file or one of another network.
        """
        state = _read(path, "give a checkpoint of tools.detector.train")
        try:
            for net, kept in ((self.net, "average"), (self.average, "average"), (self.guide, "guide")):
                net.load_state_dict(state[kept])
        except (KeyError, RuntimeError) as error:
            raise DetectorError(
                f"{path}: weights of another network ({error}); expected one like this"
            ) from error

    def start_from_engine(self, path: Path) -> None:
        """Begins with the weights of a finished engine of this network. Raises TrainError for one of another."""
        pictures = self.data.images[:: max(1, len(self.data.images) // _EXAMPLES)][:_EXAMPLES]
        examples = to_input(torch.from_numpy(np.ascontiguousarray(pictures)))
        take_over(self.net, path, examples, Exported(self.net))
        self.average.load_state_dict(self.net.state_dict())

    def _resume(self, path: Path) -> None:
        state = _read(path, "delete it to begin anew")
        if state["about"] != self._about():
            raise DetectorError(
                f"{path}: belongs to another run: {state['about']}, this one is {self._about()}; "
                "give another --checkpoint or delete it to begin anew"
            )
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.epoch, self.history = int(state["epoch"]), list(state["history"])

    def _about(self) -> dict[str, Any]:
        spec = asdict(self.spec) | {"strides": list(self.spec.strides)}
        return {"spec": spec, "recipe": asdict(self.recipe), "pictures": len(self.data.images)}


def _read(path: Path, way_out: str) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its unpickler raises
        raise DetectorError(f"{path}: not a checkpoint ({error}); {way_out}") from error
    return state


_STATEFUL = ("net", "guide", "average", "optimiser", "schedule")
