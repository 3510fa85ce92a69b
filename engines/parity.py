"""Do two graphs give the same answers? Cosine, largest difference and flipped labels on the same inputs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from engines.judge import cosines


@dataclass(frozen=True)
class Parity:
    """Over all pictures: the mean cosine of the first output, the largest |difference|, the share that flipped."""

    pictures: int
    cosine: float
    max_abs: float
    label_flips: int


def outputs(model: onnx.ModelProto, batches: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """All outputs of every batch on the CPU, flattened one behind the other: float32 (batches, values)."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    answers = (session.run(None, {name: batch}) for batch in batches)
    return np.stack(
        [np.concatenate([item.ravel() for item in answer], dtype=np.float32) for answer in answers]
    )


def compare(expected: NDArray[np.float32], found: NDArray[np.float32]) -> Parity:
    """Both (pictures, values), as ``outputs`` gives them."""
    flips = expected.argmax(axis=1) != found.argmax(axis=1)
    return Parity(
        pictures=len(expected),
        cosine=float(cosines(expected, found).mean()),
        max_abs=float(np.abs(expected - found).max()),
        label_flips=int(flips.sum()),
    )
