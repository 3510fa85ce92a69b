"""From 200 pictures to about 2,000: ``python -m tools.data MANIFEST --out FOLDER``. Writes 224×224 patches, a manifest
with hashes, one manifest per fold for ``tools.train --manifest`` and a preview."""

import csv
import hashlib
import io
import json
import shutil
import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from edge.yaml_file import load_yaml
from tools.command import run_job
from tools.data.alter import Picture
from tools.data.build import Plan, Sample, copies_per_row, samples
from tools.data.folds import TRAIN, VALIDATION, class_weights, deal, with_splits
from tools.data.policies import Policies
from tools.errors import TrainError
from tools.training.sets import Row, known_classes, manifest_rows

_PREVIEW_COLUMNS = 10


def main(arguments: list[str] | None = None) -> None:
    """Command line; errors that a user can mend end with their message and status 1."""
    parser = ArgumentParser(prog="python -m tools.data", description=__doc__)
    parser.add_argument("manifest", type=Path, help="CSV: path, class, split (may be blank), group, boxes")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument("--prefix", default="", help="only rows whose path begins so")
    parser.add_argument("--target", type=int, default=2000, help="pictures in all, about")
    parser.add_argument("--patch", type=int, default=224, help="side of a patch in pixels")
    parser.add_argument("--good", default="flawless", help="class that defects are blended onto")
    parser.add_argument("--policies", type=Path, help="YAML: default and classes; see tools/data/policies.py")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--val-share", type=float, default=0.2, help="where the manifest has no split")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    run_job("data", lambda: make(options), resume="from the beginning; nothing was written")


def make(options: Namespace) -> dict[str, object]:
    """Writes the set beside ``--out`` and renames: there wholly or not at all. Raises TrainError, ConfigError."""
    _refuse_odd(options)
    policies = load_yaml(options.policies, Policies) if options.policies else Policies()
    rows = with_splits(manifest_rows(options.manifest, options.prefix), options.val_share, options.seed)
    classes = known_classes(rows)
    unknown = sorted(set(policies.classes) - set(classes))
    if unknown:
        raise TrainError(f"{options.policies}: classes {unknown} are not in the set; found {list(classes)}")
    folds = deal([row for row in rows if row.split == TRAIN], options.folds, options.seed)
    plan = Plan(options.target, options.patch, options.seed, options.good, policies, folds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{options.out.name}.", dir=options.out.parent))
    try:
        report = _write(folder, rows, plan, options.folds)
        folder.chmod(0o755)
        folder.rename(options.out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"set": str(options.out)} | report


def _refuse_odd(options: Namespace) -> None:
    if options.out.exists():
        raise TrainError(f"{options.out}: exists already; choose another --out or remove it")
    limits = (
        ("--folds", options.folds, 2, 20),
        ("--patch", options.patch, 16, 2048),
        ("--val-share", options.val_share, 0.02, 0.5),
        ("--seed", options.seed, 0, 2**31),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise TrainError(f"{name} {value}: expected {low} to {high}")


@dataclass(frozen=True)
class _Written:
    path: str
    sample: Sample
    sha256: str


def _write(folder: Path, rows: Sequence[Row], plan: Plan, folds: int) -> dict[str, object]:
    written: list[_Written] = []
    shown: dict[str, list[Picture]] = {}
    total = len(rows) + sum(copies_per_row(rows, plan.target).values())
    for number, sample in enumerate(track(samples(rows, plan), "patches", total=total)):
        path = Path(sample.row.label) / f"{number:06d}.png"
        data = cv2.imencode(".png", sample.picture)[1].tobytes()
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        written.append(_Written(path.as_posix(), sample, hashlib.sha256(data).hexdigest()))
        tiles = shown.setdefault(sample.row.label, [])
        if len(tiles) < _PREVIEW_COLUMNS and sample.row.split == TRAIN:
            tiles.append(_tile(sample))
    weights = class_weights([one.sample.row.label for one in written if one.sample.row.split == TRAIN])
    (folder / "manifest.csv").write_text(_table(written, weights), encoding="utf-8")
    for fold in range(folds):
        inside = [one for one in written if _in_fold(one.sample, fold)]
        (folder / f"fold{fold}.csv").write_text(_table(inside, weights, fold), encoding="utf-8")
    cv2.imwrite(str(folder / "preview.jpg"), _sheet(shown, plan.side))
    report: dict[str, object] = {
        "pictures": len(written),
        "kinds": dict(Counter(one.sample.kind for one in written)),
        "classes": dict(Counter(one.sample.row.label for one in written)),
        "weights": {name: round(value, 4) for name, value in weights.items()},
        "seed": plan.seed,
        "policies": plan.policies.model_dump(),
        "manifest_sha256": hashlib.sha256((folder / "manifest.csv").read_bytes()).hexdigest(),
    }
    (folder / "set.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def _in_fold(sample: Sample, fold: int) -> bool:
    """Copies of the parts that examine would only flatter the figure; the validation split stays unseen."""
    return sample.row.split == TRAIN and (sample.fold != fold or sample.kind == "original")


def _table(written: Sequence[_Written], weights: Mapping[str, float], fold: int | None = None) -> str:
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(
        ["path", "class", "split", "boxes", "group", "fold", "weight", "kind", "source", "good", "sha256"]
    )
    for one in written:
        sample, row = one.sample, one.sample.row
        split = row.split if fold is None else (VALIDATION if sample.fold == fold else TRAIN)
        boxes = json.dumps([[row.label, *(round(value, 1) for value in box)] for box in sample.boxes])
        weight = f"{weights[row.label]:.4f}"
        good = sample.good.path.name if sample.good else ""
        table.writerow(
            [
                one.path,
                row.label,
                split,
                boxes,
                row.group,
                sample.fold,
                weight,
                sample.kind,
                row.path.name,
                good,
                one.sha256,
            ]
        )
    return file.getvalue()


def _tile(sample: Sample) -> Picture:
    tile: Picture = sample.picture.copy()
    for x1, y1, x2, y2 in sample.boxes:
        cv2.rectangle(tile, (round(x1), round(y1)), (round(x2), round(y2)), (40, 220, 255), 1)
    text = f"{sample.row.label} {sample.kind}"
    cv2.putText(tile, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def _sheet(shown: dict[str, list[Picture]], side: int) -> Picture:
    blank = np.zeros((side, side, 3), np.uint8)
    lines = [np.hstack((tiles + [blank] * _PREVIEW_COLUMNS)[:_PREVIEW_COLUMNS]) for tiles in shown.values()]
    return np.asarray(np.vstack(lines), np.uint8)


if __name__ == "__main__":
    main()
