"""State of a training on disk: whole or not at all, and never taken up by another training."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tools.errors import TrainError


@dataclass
class Progress:
    """What a resumed training needs to go on as if it had never stopped."""

    fingerprint: str
    """Network, recipe and data in words; a checkpoint of another training is refused."""
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    """One entry per check: step, epoch, loss, rate, accuracy."""
    best_accuracy: float = -1.0
    best_step: int = 0
    best: dict[str, Any] | None = None
    """Weights at the best check."""


def save(path: Path, progress: Progress, net: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Writes under another name, then renames: a kill or a full disk leaves the older checkpoint."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    state = {
        "progress": vars(progress),
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, unfinished)
        unfinished.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        unfinished.unlink(missing_ok=True)
        raise TrainError(
            f"{path}: checkpoint not written: {error}; the older one, if any, is intact; free some disk "
            "space and start the same command again"
        ) from error


def resume(
    path: Path, fingerprint: str, net: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> Progress | None:
    """Restores network, optimiser and random state; None when there is no checkpoint.

    Raises TrainError for a damaged file or one that belongs to another training.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        progress = Progress(**state["progress"])
    except Exception as error:  # torch raises whatever its unpickler raises
        raise TrainError(f"{path}: not a checkpoint ({error}); delete it to start anew") from error
    if progress.fingerprint != fingerprint:
        raise TrainError(
            f"{path}: belongs to another training\n  there: {progress.fingerprint}\n  here:  {fingerprint}\n"
            "give the same options to go on, or another --work folder to start anew"
        )
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"])
    return progress
