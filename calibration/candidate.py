"""Files of a candidate beside its model: manifest and golden set."""

import datetime
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.bank import Bank
from calibration.pictures import read_frame
from calibration.prove import Proof
from calibration.proving import Trial
from calibration.taps import Backbone, Extractor
from engines.golden import GoldenSet, load_golden
from engines.manifest import EngineManifest, manifest_yaml


@dataclass(frozen=True)
class LessonFacts:
    """What a manifest says about the lesson."""

    name: str
    """Of the new class."""
    seed: int
    rows: int
    """That it was taught with."""


def manifest_of(folder: Path, backbone: Backbone, proof: Proof, trial: Trial, lesson: LessonFacts) -> str:
    """YAML for ``folder/ROLE.onnx``, which is there."""
    m, role = backbone.manifest, backbone.manifest.role
    model = (folder / f"{role}.onnx").read_bytes()
    parts = sum(row.parts for row in proof.classes)
    right = sum(row.right_after for row in proof.classes)
    data = m.model_dump(mode="json", by_alias=True, exclude_none=True)
    data |= {
        "file": f"{role}.onnx",
        "sha256": hashlib.sha256(model).hexdigest(),
        "classes": [*m.classes, lesson.name],
        "trained": {
            "command": f"edge calibrate new-defect {lesson.name} --seed {lesson.seed} (on {m.name})",
            "parts": lesson.rows,
            "seed": lesson.seed,
            "date": datetime.date.today().isoformat(),
        },
        "measured": {
            "accuracy_fp32": round(trial.accuracy_float, 5),
            "accuracy_int8": round(right / max(1, parts), 5),
            "escape_rate_at_argmax": round(proof.escapes[0] / max(1, proof.escapes[1]), 5),
            # The float model is not here to be timed: the backbone's own figure.
            "latency_ms_fp32": m.measured.latency_ms_fp32,
            "latency_ms_int8": round(trial.after_p50_ms, 3),
            "parts": max(1, parts),
            "seed": lesson.seed,
        },
    }
    return manifest_yaml(EngineManifest.model_validate(data))


def golden_bytes(backbone: Backbone, exam: Bank, rows: NDArray[np.int64]) -> bytes:
    """``.npz``: the chosen parts as the engine's input, and their labels."""
    eye = Extractor(backbone)
    pictures = []
    for picture in exam.pictures(rows):
        eye.look(*read_frame(picture))
        pictures.append(eye.picture[0].copy())
    content = io.BytesIO()
    np.savez_compressed(content, pictures=np.array(pictures, np.float32), labels=exam.labels[rows])
    return content.getvalue()


def golden_set(path: Path) -> GoldenSet | None:
    """None: it is empty."""
    with np.load(path) as data:
        if not len(data["labels"]):
            return None
    return load_golden(path)
