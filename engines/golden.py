"""The golden set: parts that an engine must get right before it may run, as the engine's own inputs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.errors import CalibrationError
from engines.loaded import LoadedEngine


@dataclass(frozen=True)
class GoldenSet:
    """``pictures`` float32 (n, channels, height, width) as the preprocess of the line makes them; ``labels`` (n,)."""

    pictures: NDArray[np.float32]
    labels: NDArray[np.int64]
    sha256: str

    def accuracy(self, engine: LoadedEngine) -> float:
        """Share of the parts whose highest score is their class. Raises CalibrationError: another input shape."""
        if self.pictures.shape[1:] != engine.input.shape[1:] or self.labels.max() >= engine.scores.shape[1]:
            raise CalibrationError(
                f"golden set: pictures {self.pictures.shape[1:]}, labels up to {self.labels.max()}; the engine takes "
                f"{engine.input.shape[1:]} and has {engine.scores.shape[1]} classes: make the set for this engine"
            )
        right = 0
        for picture, label in zip(self.pictures, self.labels, strict=True):
            engine.input[0] = picture
            engine.run()
            right += int(engine.scores[0].argmax()) == label
        return right / len(self.labels)


def load_golden(path: Path) -> GoldenSet:
    """An .npz with ``pictures`` and ``labels``. Raises CalibrationError: anything else."""
    try:
        content = path.read_bytes()
        with np.load(path, allow_pickle=False) as data:
            pictures, labels = data["pictures"].astype(np.float32), data["labels"].astype(np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise CalibrationError(
            f"{path}: no golden set ({error}); expected an .npz with 'pictures' and 'labels': make it with "
            "python -m tools.golden"
        ) from error
    if pictures.ndim != 4 or labels.shape != (len(pictures),) or len(pictures) == 0 or labels.min() < 0:
        raise CalibrationError(
            f"{path}: pictures {pictures.shape}, labels {labels.shape}; expected (n, channels, height, width) and (n,)"
        )
    return GoldenSet(pictures, labels, hashlib.sha256(content).hexdigest())
