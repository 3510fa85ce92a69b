"""The model that is quantised, as the commands see it: graph, input, and what its answers mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.inspection.boxes import box_scores
from engines.errors import CalibrationError
from engines.graph import input_shape, load_simplified
from engines.judge import Answers, Judge
from engines.loaded import Decoder
from engines.manifest import EngineManifest, InputSpec, load_manifest
from engines.parity import outputs

PerChannel = tuple[float, float, float]
NORMALISATIONS: dict[str, tuple[PerChannel, PerChannel]] = {
    "twin": ((0.4, 0.4, 0.4), (0.25, 0.25, 0.25)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Mean and standard deviation of grey / 255 that a model was trained with; ``twin``: what tools.train uses."""


@dataclass(frozen=True)
class Subject:
    """``model`` is simplified; ``manifest`` describes the engine that it becomes, if there is one already."""

    path: Path
    model: onnx.ModelProto
    spec: InputSpec
    manifest: EngineManifest | None

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Of the manifest."""
        return self.manifest.classes if self.manifest else None

    def judge(self, reference: Answers, labels: NDArray[np.int64], classes: int) -> Judge:
        """Labels count where the model has one score per class, directly or by its decoder."""
        decoder = box_scores(self.manifest) if self.manifest and self.manifest.decoder else None
        if decoder is not None:
            return Judge("accuracy", labels, reference, _Decode(decoder))
        dims = [len(item.type.tensor_type.shape.dim) for item in self.model.graph.output]
        if dims != [2]:
            return Judge("fidelity", labels, reference)
        return Judge("accuracy" if reference.shape[1] == classes else "agreement", labels, reference)

    def require_learnt(self, judge: Judge, classes: Sequence[str]) -> None:
        """Raises CalibrationError: the float model guesses, so its drop would mean nothing."""
        share = float(judge.right(judge.reference).mean())
        most = float(np.bincount(judge.labels).max() / len(judge.labels))
        if judge.measure == "accuracy" and share <= 1.1 * max(1 / len(classes), most):
            raise CalibrationError(
                f"{self.path}: the float model gets {share:.1%} right, the commonest class alone is {most:.1%}: wrong "
                f"--normalise, another order of classes than {list(classes)}, or an untrained model"
            )


def open_subject(path: Path, manifest_path: Path | None, normalise: str, resize: str) -> Subject:
    """Raises GraphError, ManifestError; CalibrationError: the manifest's input is not the graph's."""
    model = load_simplified(path)
    _, channels, height, width = input_shape(model)
    if channels not in (1, 3):
        raise CalibrationError(f"{path}: input has {channels} channels, expected 1 (luma) or 3 (RGB)")
    if manifest_path is None:
        mean, std = NORMALISATIONS[normalise]
        values = {
            "width": width,
            "height": height,
            "channels": channels,
            "mean": mean,
            "std": std,
            "resize": resize,
        }
        return Subject(path, model, InputSpec.model_validate(values), None)
    manifest = load_manifest(manifest_path)
    found = (manifest.input.channels, manifest.input.height, manifest.input.width)
    if found != (channels, height, width):
        raise CalibrationError(
            f"{manifest_path}: input {found}, {path} takes {(channels, height, width)} (channels, height, width): not "
            "the manifest of this model"
        )
    return Subject(path, model, manifest.input, manifest)


def float_answers(subject: Subject, inputs: Sequence[NDArray[np.float32]]) -> Answers:
    """Raises CalibrationError: a model that answers NaN on a real picture."""
    answers = outputs(subject.model, inputs)
    wrong = int((~np.isfinite(answers).all(axis=1)).sum())
    if wrong:
        raise CalibrationError(
            f"{subject.path}: the float model gives NaN or infinity on {wrong} of {len(answers)} pictures: export a "
            "sound checkpoint"
        )
    return answers


@dataclass(frozen=True)
class _Decode:
    decoder: Decoder

    def __call__(self, answers: Answers) -> Answers:
        scores = []
        for answer in answers:
            self.decoder.decode(np.ascontiguousarray(answer.reshape(1, *self.decoder.shape)))
            scores.append(self.decoder.scores[0].copy())
        return np.asarray(np.nan_to_num(np.stack(scores), nan=-1.0), np.float32)
