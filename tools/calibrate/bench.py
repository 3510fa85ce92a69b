"""``edge calibrate bench``: how well and how fast a class that no engine knows is taught, on data with the truth.

For the twin the shipped engine is taught a defect that no training set contains. For other data the base is a head on
a shipped backbone, fitted to one half of the remaining classes' pictures; the lesson replays the other
half. Making the base is no part of the time. Engines go into a store of the bench's own.
"""

import argparse
import csv
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from calibration.bank import make_bank
from calibration.desk import Desk
from calibration.engines import engine_named
from calibration.errors import CalibrationError
from calibration.first_head import FirstHead, examples, first_head
from calibration.lesson import Teaching
from calibration.pictures import Picture, read_manifest, split_by_group
from calibration.prove import interval
from calibration.taps import Backbone, engine_bytes, open_backbone
from calibration.teach import scores_of
from calibration.teach_steps import head_of
from calibration.wish import Wish
from calibration.work import WorkFolder
from engines.errors import EnginesError
from engines.manifest import load_manifest, manifest_yaml
from engines.store.entry import sha256
from engines.store.folder import EngineStore
from engines.store.keys import KeyRing
from engines.whole_file import write_whole
from tools.twin.parts import CLASSES, UNSEEN, PartSpec, plan_parts, plan_unseen
from tools.twin.render import CameraModel, render, warm_up

GENERIC = "shipped:classifier_unmarked"
"""For pictures of another kind: with features that had to tell marks apart, old parts in other light than those that
were replayed are taken for the new class (NEU-DET, docs/calibration.md)."""
_GOOD_NAMES = ("flawless", "good", "ok", "free", "normal")
_MOST_OLD = 1200
"""Pictures of the old classes that are replayed."""
_MOST_EXAM = 900
_TWIN_PARTS = 2500
"""Old ones to replay, and as many for the exam: with 900 cross-validation could not see a loss of half a point."""


def bench(options: argparse.Namespace, say: Any) -> dict[str, Any]:
    """Raises CalibrationError, EnginesError."""
    root = Path(options.work or tempfile.mkdtemp(prefix="edge-bench-"))
    root.mkdir(parents=True, exist_ok=True)
    if options.twin:
        name, pictures = options.leave_out or UNSEEN[0], twin_pictures(options, root, say)
        engine = engine_named(options.engine)
    else:
        if options.manifest is None or options.leave_out is None:
            raise CalibrationError("give --manifest FILE.csv and --leave-out CLASS, or --twin")
        name, chosen = options.leave_out, _chosen(read_manifest(options.manifest), options)
        learnt, pictures = _halves(chosen, name, options.seed)
        engine = base_engine(learnt, root, say)
    runs = [
        _run(options, root / f"run-{seed}", engine, pictures=pictures, name=name, seed=seed, say=say)
        for seed in _seeds(options)
    ]
    report = {
        "new_class": name,
        "samples": options.samples,
        "data": "twin" if options.twin else str(options.manifest.name),
        "new_class_recall": float(np.median([run["new_class_recall"] for run in runs])),
        "old_classes_delta_points": float(np.median([run["old_classes_delta_points"] for run in runs])),
        "seconds_to_active": float(np.max([run["seconds_to_active"] for run in runs])),
        "refused": any(run["refused"] for run in runs),
        "runs": runs,
    }
    if options.report:
        write_whole(options.report, json.dumps(report, indent=1))
    if options.work is None:
        shutil.rmtree(root, ignore_errors=True)
    return report


def _seeds(options: argparse.Namespace) -> range:
    return range(options.seed, options.seed + options.runs)


def _chosen(pictures: Sequence[Picture], options: argparse.Namespace) -> list[Picture]:
    """Of one data set of the file, at most so many as a replay needs; every class keeps its share."""
    first = sorted({p.label for p in pictures})
    if options.leave_out not in first:
        raise CalibrationError(f"{options.manifest}: no class '{options.leave_out}'; expected one of {first}")
    sets = {_set_of(p, options.manifest) for p in pictures if p.label == options.leave_out}
    own = [p for p in pictures if _set_of(p, options.manifest) in sets]
    if not any(p.split not in ("", "train") for p in own):
        own = split_by_group(own, 0.3, options.seed)
    rng = np.random.default_rng([options.seed, 41])
    kept: list[Picture] = []
    labels = sorted({p.label for p in own})
    if len(labels) < 3:
        raise CalibrationError(
            f"{options.manifest}: classes {labels}: without '{options.leave_out}' expected two or more"
        )
    for split, most in (("train", _MOST_OLD), ("exam", _MOST_EXAM)):
        for label in labels:
            rows = [p for p in own if p.label == label and (p.split in ("", "train")) == (split == "train")]
            room = len(rows) if label == options.leave_out else most // (len(labels) - 1)
            kept += [rows[i] for i in sorted(rng.permutation(len(rows))[:room])]
    return [replace(p, split="train" if p.split in ("", "train") else "exam") for p in kept]


def _halves(pictures: Sequence[Picture], name: str, seed: int) -> tuple[list[Picture], list[Picture]]:
    """What the base learns from, and what the lesson sees: of the old training pictures one half each, by part.

    An engine is surer of what it was trained on than of a new part; replaying just that would hide what a lesson costs.
    """
    old = [p for p in pictures if p.label != name and p.split == "train"]
    parted = split_by_group([replace(p, split="") for p in old], 0.5, seed)
    replayed = {p.path for p in parted if p.split == "exam"}
    learnt = [p for p in old if p.path not in replayed]
    return learnt, [p for p in pictures if p.label == name or p.split == "exam" or p.path in replayed]


def _set_of(picture: Picture, manifest: Path) -> str:
    """The first folder: a file may list several data sets."""
    parts = picture.path.relative_to(manifest.parent).parts
    return parts[0] if len(parts) > 2 else ""


def base_engine(learnt: Sequence[Picture], root: Path, say: Any) -> Path:
    """A head for the remaining classes on the shipped backbone."""
    generic = load_manifest(engine_named(GENERIC))
    backbone = open_backbone(generic)
    classes = tuple(sorted({p.label for p in learnt}))
    found = first_head(examples(backbone, learnt, classes, seed=1, say=say), seed=1, say=say)
    return _write_engine(backbone, found, classes, len(learnt), root)


def _write_engine(
    backbone: Backbone, found: FirstHead, classes: tuple[str, ...], pictures: int, root: Path
) -> Path:
    model = engine_bytes(backbone, found.head)
    good = next((c for c in classes if c.lower() in _GOOD_NAMES), classes[0])
    data = backbone.manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
    data |= {"name": "bench-base", "file": "base.onnx", "sha256": sha256(model), "classes": list(classes)}
    data |= {"good_class": good, "empty_class": good}
    accuracy = round(found.accuracy, 5)
    data["measured"] |= {"accuracy_fp32": accuracy, "accuracy_int8": accuracy, "parts": pictures}
    from engines.manifest import EngineManifest

    write_whole(root / "base.onnx", model)
    write_whole(root / "base.yaml", manifest_yaml(EngineManifest.model_validate(data)))
    return root / "base.yaml"


def _run(
    options: argparse.Namespace,
    root: Path,
    engine: Path,
    *,
    pictures: Sequence[Picture],
    name: str,
    seed: int,
    say: Any,
) -> dict[str, Any]:
    train = [p for p in pictures if p.label == name and p.split == "train"]
    if len(train) < options.samples:
        raise CalibrationError(
            f"{len(train)} training pictures of '{name}': --samples {options.samples} is too many"
        )
    rng = np.random.default_rng([seed, 43])
    chosen = [train[i] for i in rng.permutation(len(train))[: options.samples]]
    shutil.rmtree(root, ignore_errors=True)
    (root / "new").mkdir(parents=True)
    for index, picture in enumerate(chosen):
        _place(picture, root / "new" / f"{index:04d}{picture.path.suffix}")
    old = [p for p in pictures if p.label != name]
    data = root / "old.csv"
    write_csv(data, old)
    formats = {p.pixel_format for p in chosen}
    wish = Wish(
        name, root / "new", data, (str(engine),), "bench", seed,
        cache=root.parent / "cache", pixel_format=formats.pop() if len(formats) == 1 else "",
    )  # fmt: skip
    keys = KeyRing(root / "keys")
    keys.create()
    teaching = Teaching(Desk(wish, WorkFolder(root / "work"), say), EngineStore(root / "store", keys))
    teaching.prepare()  # the replay bank is made once per engine, not per lesson
    begun = time.monotonic()
    try:
        said = teaching.run()
    except CalibrationError as error:
        return _refused(str(error), time.monotonic() - begun, seed)
    seconds = time.monotonic() - begun
    proof = next(iter(said["prove"]["engines"].values()))
    exam = [p for p in pictures if p.label == name and p.split == "exam"]
    recall, right, rejected = _exam_recall(teaching, exam, say)
    return {
        "seed": seed,
        "new_class_recall": recall,
        "new_class_interval": interval(right, len(exam)),
        "new_class_not_called_good": rejected,
        "new_class_parts": len(exam),
        "recall_by_cross_validation": proof["new_recall"],
        "old_classes_delta_points": proof["old_delta_points"],
        "old_classes_interval": proof["old_delta_interval"],
        "old_accuracy_before": _share(proof["classes"][:-1], "right_before"),
        "old_accuracy_after": _share(proof["classes"][:-1], "right_after"),
        "seconds_to_active": seconds,
        "active": said["activate"]["active"],
        "refused": bool(said["prove"]["refused"]),
        "why_refused": said["prove"]["refused"],
        "findings": said["check"]["findings"],
        "taught_by": next(iter(said["teach"].values()))["way"],
        "added_ms": proof["trial"]["after_p50_ms"] - proof["trial"]["before_p50_ms"],
    }


def _refused(why: str, seconds: float, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "new_class_recall": 0.0,
        "old_classes_delta_points": 0.0,
        "seconds_to_active": seconds,
        "active": False,
        "refused": True,
        "why_refused": [why],
    }


def _share(rows: Sequence[dict[str, Any]], key: str) -> float:
    return float(sum(row[key] for row in rows) / max(1, sum(row["parts"] for row in rows)))


def _exam_recall(teaching: Teaching, exam: Sequence[Picture], say: Any) -> tuple[float, int, float]:
    """Recall, right ones, and the share not called good, on parts that no step of the lesson has seen."""
    if not exam:
        return 0.0, 0, 0.0
    backbone = teaching.desk.backbones[0]
    classes = (*backbone.manifest.classes, teaching.desk.wish.name)
    bank = make_bank(backbone, exam, classes, say)
    found = scores_of(head_of(teaching.desk, backbone), bank.taps, bank.logits).argmax(1)
    right = found == len(classes) - 1
    good = found == classes.index(backbone.manifest.good_class)
    return float(right.mean()), int(right.sum()), float(1 - good.mean())


def _place(picture: Picture, target: Path) -> None:
    target.symlink_to(picture.path.resolve())


def write_csv(path: Path, pictures: Sequence[Picture]) -> None:
    """As ``edge calibrate new-defect --data`` reads it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "class", "split", "group", "format"))
        for p in pictures:
            writer.writerow((p.path.resolve(), p.label, p.split, p.group, p.pixel_format))


def twin_pictures(options: argparse.Namespace, root: Path, say: Any) -> list[Picture]:
    """Rendered once into the work folder: old parts to replay and for the exam, and those of the new class."""
    name = options.leave_out or UNSEEN[0]
    plans = [
        ("train", plan_parts(_TWIN_PARTS, options.seed, 0.65, ghost_share=0.06, namespace="bench-replay")),
        ("exam", plan_parts(_TWIN_PARTS, options.seed, 0.65, ghost_share=0.06, namespace="bench-exam")),
        ("train", plan_unseen(max(60, options.samples), options.seed, name, namespace="bench-replay")),
        ("exam", plan_unseen(200, options.seed, name, namespace="bench-exam")),
    ]
    folder = root / "twin"
    folder.mkdir(exist_ok=True)
    camera = CameraModel()
    warm_up(camera)
    jobs = [(split, spec) for split, specs in plans for spec in specs]
    made = []
    for number, (split, spec) in enumerate(jobs):
        path = folder / f"{name}-{options.seed}-{number:05d}.png"
        if not path.is_file():
            _render(spec, camera, path)
        made.append(Picture(path, (CLASSES + UNSEEN)[spec.class_id], split, path.name, "twin", "bayer_rg8"))
        say("twin parts", (number + 1) / len(jobs))
    return made


def _render(spec: PartSpec, camera: CameraModel, path: Path) -> None:
    ok, content = cv2.imencode(".png", render(spec, camera).pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not ok:
        raise CalibrationError(f"{path}: OpenCV cannot write PNG")
    write_whole(path, content.tobytes())


def run_bench(options: argparse.Namespace) -> int:
    """Prints the four figures."""
    from calibration.console import told

    if options.report and not options.report.parent.is_dir():
        raise CalibrationError(f"{options.report}: its folder does not exist; make it first")
    try:
        with told() as say:
            report = bench(options, say)
    except EnginesError as error:
        raise CalibrationError(str(error)) from error
    told_keys = ("new_class_recall", "old_classes_delta_points", "seconds_to_active", "refused")
    print(json.dumps({key: report[key] for key in told_keys}))
    return 0
