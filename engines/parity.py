"""Do two graphs give the same answers? Cosine, largest difference and flipped labels on the same inputs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parity:
    """Over all pictures: the mean cosine of the first output, the largest |difference|, the share that flipped."""

    pictures: int
    cosine: float
    max_abs: float
    label_flips: int


def outputs(model: onnx.ModelProto, batches: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """First output of every batch on the CPU, flattened: float32 (batches, values)."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: batch})[0].ravel() for batch in batches])


def compare(expected: NDArray[np.float32], found: NDArray[np.float32]) -> Parity:
    """Both (pictures, values), as ``outputs`` gives them."""
    dot = (expected * found).sum(axis=1)
    norm = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    flips = expected.argmax(axis=1) != found.argmax(axis=1)
    return Parity(
        pictures=len(expected),
        cosine=float((dot / np.maximum(norm, 1e-12)).mean()),
        max_abs=float(np.abs(expected - found).max()),
        label_flips=int(flips.sum()),
    )
