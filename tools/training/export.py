"""From a trained network to engine files: ONNX checked against torch, INT8, manifest."""

import copy
import datetime
import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge._core import CalibrationHistogram
from engines.manifest import (
    EngineManifest,
    InputSpec,
    MeasuredSpec,
    PrecisionSpec,
    TrainedSpec,
    write_manifest,
)
from engines.quantize import quantize_u8s8
from tools import measure
from tools.dataset import normalise
from tools.errors import TrainError
from tools.training.fit import MEAN, STD
from tools.training.sets import Labelled, Size
from tools.twin.parts import CLASSES, FLAWLESS, NO_PART

OPSET = 17
_TOLERANCE = 1e-3
"""Largest difference of a probability between torch and ONNX Runtime, both in float32."""


def export_onnx(net: nn.Module, path: Path, size: Size, examples: NDArray[np.float32]) -> float:
    """Writes ``image`` float32 1×3×H×W → ``scores`` float32 1×classes (probabilities).

    ``examples`` N×3×H×W go through both; returns the largest difference of a score. Raises TrainError when
    it is above 0.001: the graph would not be the network that was examined.
    """
    scored = nn.Sequential(copy.deepcopy(net).cpu(), nn.Softmax(1)).eval()
    scored = scored.to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        # The exporter that writes opset 17 without rewriting is the one torch calls old.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            scored,
            (torch.zeros(1, 3, size[1], size[0]),),
            str(path),
            input_names=["image"],
            output_names=["scores"],
            opset_version=OPSET,
            dynamo=False,
        )
    with torch.inference_mode():
        expected = scored(torch.from_numpy(examples)).numpy()
    difference = float(np.abs(measure.score(path, examples) - expected).max())
    if not difference <= _TOLERANCE:
        raise TrainError(
            f"{path}: scores differ from torch by {difference:.2g}, expected at most {_TOLERANCE:g}; "
            "the export does not carry this network: try another version of torch or onnx"
        )
    return difference


def quantise(fp32: Path, int8: Path, calibration: NDArray[np.uint8]) -> None:
    """U8S8 with a float32 head; ``calibration`` uint8 N×3×H×W."""
    pictures = (normalise(image[None], MEAN, STD) for image in calibration)
    quantize_u8s8(fp32, int8, pictures, CalibrationHistogram)


@dataclass(frozen=True)
class Examined:
    """Both graphs of one network on the same unseen pictures, one thread."""

    scores_fp32: NDArray[np.float32]
    scores_int8: NDArray[np.float32]
    latency_fp32_ms: NDArray[np.float64]
    """One entry per run, alternating with the other graph's."""
    latency_int8_ms: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def accuracy_fp32(self) -> float:
        """Share of pictures whose highest score is their class."""
        return measure.accuracy(self.scores_fp32, self.labels[: len(self.scores_fp32)])

    @property
    def accuracy_int8(self) -> float:
        """The same, of the graph that is shipped."""
        return measure.accuracy(self.scores_int8, self.labels)


def examine(fp32: Path, int8: Path, test: Labelled, fp32_pictures: int | None = None) -> Examined:
    """Scores ``test`` with both graphs; the float32 one its first ``fp32_pictures`` only, if given."""
    count = fp32_pictures or len(test.labels)
    latencies = measure.latencies_ms([fp32, int8], normalise(test.images[:1], MEAN, STD))
    return Examined(
        scores_fp32=score(fp32, test.images[:count]),
        scores_int8=score(int8, test.images),
        latency_fp32_ms=latencies[:, 0],
        latency_int8_ms=latencies[:, 1],
        labels=test.labels,
    )


def score(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """N×classes from uint8 N×3×H×W, normalised in small portions: ten thousand floats pictures are gigabytes."""
    portions = (images[start : start + 256] for start in range(0, len(images), 256))
    return np.concatenate([measure.score(path, normalise(portion, MEAN, STD)) for portion in portions])


def measured_spec(examined: Examined, seed: int) -> MeasuredSpec:
    """The figures of the manifest."""
    return MeasuredSpec(
        accuracy_fp32=round(examined.accuracy_fp32, 4),
        accuracy_int8=round(examined.accuracy_int8, 4),
        escape_rate_at_argmax=round(measure.escape_rate(examined.scores_int8, examined.labels), 5),
        latency_ms_fp32=round(float(np.median(examined.latency_fp32_ms)), 3),
        latency_ms_int8=round(float(np.median(examined.latency_int8_ms)), 3),
        parts=len(examined.labels),
        seed=seed,
    )


@dataclass(frozen=True)
class Origin:
    """How an engine was made."""

    role: Literal["gate", "classifier"]
    command: str
    parts: int
    seed: int
    size: Size
    name: str
    """Of the files, such as ``classifier``: ``shipped:classifier``."""


def install(int8: Path, out: Path, origin: Origin, measured: MeasuredSpec) -> EngineManifest:
    """Moves the model into ``out`` and writes its manifest; the pair is replaced only when all is known."""
    model = out / f"{origin.name}.onnx"
    manifest = EngineManifest(
        schema=1,
        name=f"twin-{origin.name.replace('_', '-')}",
        role=origin.role,
        file=model.name,
        sha256=hashlib.sha256(int8.read_bytes()).hexdigest(),
        classes=CLASSES,
        good_class=CLASSES[FLAWLESS],
        empty_class=CLASSES[NO_PART],
        input=InputSpec(
            width=origin.size[0], height=origin.size[1], channels=3, mean=MEAN, std=STD, resize="area"
        ),
        precision=PrecisionSpec(scheme="u8s8", head="float32"),
        trained=TrainedSpec(
            command=origin.command,
            parts=origin.parts,
            seed=origin.seed,
            date=datetime.datetime.now(datetime.timezone.utc).date(),
        ),
        measured=measured,
    )
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / f"unfinished-{origin.name}.onnx"
    unfinished.write_bytes(int8.read_bytes())
    unfinished.replace(model)
    write_manifest(manifest, out / f"{origin.name}.yaml")
    return manifest
