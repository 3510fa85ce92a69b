"""The steps that make a candidate: a head for each engine, then its files."""

import io
import json
from typing import Any

import numpy as np

from calibration import teach as teaching
from calibration.bank import Bank
from calibration.candidate import golden_bytes
from calibration.desk import Desk
from calibration.fits import Lesson
from calibration.prove import golden_rows
from calibration.taps import Backbone, Head, engine_bytes
from calibration.teach import Taught


def teach(desk: Desk) -> dict[str, Any]:
    """A head for each engine, by cross-validation."""
    said: dict[str, Any] = {}
    for backbone in desk.backbones:
        lesson, rows = desk.lesson(backbone)
        taught = teaching.teach(lesson, desk.wish.seed, desk.say)
        _keep(desk, backbone, taught, lesson, rows)
        said[backbone.manifest.role] = {
            "way": str(taught.way),
            "recall_cv": round(taught.recall, 4),
            "old_loss_cv": round(taught.old_loss, 5),
            "doubtful": len(taught.doubtful),
        }
    return said


def calibrate(desk: Desk) -> dict[str, Any]:
    """The candidate's files: model, manifest, golden set."""
    said: dict[str, Any] = {}
    for backbone in desk.backbones:
        head = head_of(desk, backbone)
        model = engine_bytes(backbone, head)
        role = backbone.manifest.role
        desk.work.write(f"candidate/{role}.onnx", model)
        exam = desk.exam(backbone)
        golden = golden_rows(exam)
        desk.work.write(f"candidate/{role}-golden.npz", golden_bytes(backbone, exam, np.flatnonzero(golden)))
        said[role] = {"golden": int(golden.sum()), "bytes": len(model)}
    return said


def head_of(desk: Desk, backbone: Backbone) -> Head:
    """What was taught."""
    with np.load(desk.work.root / f"head-{backbone.manifest.role}.npz") as data:
        return Head(data["mean"], data["spread"], data["weights"], data["bias"], float(data["clip"]))


def meta_of(desk: Desk, backbone: Backbone) -> dict[str, Any]:
    """What is known of how it was taught."""
    path = desk.work.root / f"head-{backbone.manifest.role}.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _keep(desk: Desk, backbone: Backbone, taught: Taught, lesson: Lesson, rows: Bank) -> None:
    content = io.BytesIO()
    head = taught.head
    np.savez(
        content, mean=head.mean, spread=head.spread, weights=head.weights, bias=head.bias, clip=head.clip
    )
    role = backbone.manifest.role
    good = backbone.manifest.classes.index(backbone.manifest.good_class)
    meta = {
        "way": str(taught.way),
        "recall": taught.recall,
        "old_loss": taught.old_loss,
        "parts": int(((lesson.labels == lesson.classes - 1) & (lesson.original < 0)).sum()),
        "lesson_rows": len(rows),
        "replayed": int((lesson.labels < lesson.classes - 1).sum()),
        "doubtful": [str(rows.paths[i]) for i in taught.doubtful if lesson.labels[i] == good],
    }
    desk.work.write(f"head-{role}.json", json.dumps(meta, indent=1))
    desk.work.write(f"head-{role}.npz", content.getvalue())
