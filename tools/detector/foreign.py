"""Pictures of your own: a CSV with path (relative to it), split, boxes (JSON: [[class, x1, y1, x2, y2], …]), group."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge import _core
from tools.detector.errors import DetectorError
from tools.detector.fit import to_input
from tools.detector.metrics import Picture, average_precision
from tools.detector.net import Detector, Exported
from tools.detector.sets import BoxSet, Item, pad

Row = dict[str, str]
_COLUMNS = ("path", "split", "boxes")


@dataclass(frozen=True)
class Foreign:
    """One split; ``classes`` are the names of the boxes' classes."""

    boxes: BoxSet
    classes: tuple[str, ...]


def load(
    manifest: Path,
    split: str,
    size: tuple[int, int],
    prefix: str = "",
    classes: tuple[str, ...] | None = None,
) -> Foreign:
    """Reads the pictures of a split, shrunk to ``size``. ``classes``: those of the training set.

    Raises DetectorError: no such file or column, a group in two splits, a picture that cannot be read, a box that is
    none or outside its picture, a class that training has not seen.
    """
    rows = _rows(manifest, prefix)
    _refuse_leaks(manifest, rows)
    mine = [row for row in rows if row["split"] == split]
    boxes = [_boxes(manifest, row) for row in mine]
    known = classes or tuple(sorted({str(box[0]) for items in boxes for box in items}))
    images = np.empty((len(mine), 3, size[1], size[0]), np.uint8)
    found: list[list[Item]] = []
    for image, row, items in zip(images, mine, boxes, strict=True):
        picture = cv2.imread(str(manifest.parent / row["path"]), cv2.IMREAD_COLOR)
        if picture is None:
            raise DetectorError(
                f"{manifest.parent / row['path']}: cannot be read; expected a PNG or JPEG picture"
            )
        height, width = picture.shape[:2]
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        image[:] = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)
        frame = _Frame(manifest, row["path"], width, height, size)
        found.append([frame.item(box, known) for box in items])
    count = len(mine)
    return Foreign(BoxSet(images, *pad(found), np.full(count, -1), np.zeros(count, np.float32)), known)


def score(net: Detector, data: Foreign) -> dict[str, object]:
    """mAP at IoU 0.5 and the AP of each class, through the native decoder."""
    import torch

    spec = net.spec
    decoder = _core.Detector(
        kind=_core.DetectorKind.NANODET_PLUS,
        input_width=spec.width,
        input_height=spec.height,
        classes=spec.classes,
        strides=list(spec.strides),
        reg_max=spec.reg_max,
        min_score=0.01,
        max_detections=300,
    )
    graph, pictures = Exported(net).eval(), []
    with torch.inference_mode():
        for image, boxes, classes in zip(
            data.boxes.images, data.boxes.boxes, data.boxes.classes, strict=True
        ):
            raw = graph(to_input(torch.from_numpy(image[None]))).numpy()
            decoder.decode(np.ascontiguousarray(raw[0]))
            found, real = decoder.detections, classes >= 0
            pictures.append(
                Picture(boxes[real], classes[real], found[:, :4], found[:, 5].astype(np.int64), found[:, 4])
            )
    each = [average_precision(pictures, index) for index in range(spec.classes)]
    return {
        "pictures": len(pictures),
        "map50": round(float(np.nanmean(each)), 4),
        "ap50": {name: round(value, 4) for name, value in zip(data.classes, each, strict=True)},
    }


def _rows(manifest: Path, prefix: str) -> list[Row]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DetectorError(
                    f"{manifest}: columns {missing} are missing; expected at least {list(_COLUMNS)}"
                )
            rows = [row for row in reader if row["path"].startswith(prefix)]
    except OSError as error:
        raise DetectorError(f"{manifest}: cannot be read ({error.strerror}); expected a CSV file") from error
    if not rows:
        raise DetectorError(f"{manifest}: no row's path begins with '{prefix}'; expected some pictures")
    return rows


def _refuse_leaks(manifest: Path, rows: list[Row]) -> None:
    split_of: dict[str, str] = {}
    for row in rows:
        group = row.get("group") or row["path"]
        before = split_of.setdefault(group, row["split"])
        if before != row["split"]:
            raise DetectorError(
                f"{manifest}: group '{group}' is in splits '{before}' and '{row['split']}'; expected every physical "
                "part in one split only"
            )


def _boxes(manifest: Path, row: Row) -> list[list[object]]:
    try:
        found = json.loads(row["boxes"] or "[]")
        return [[str(name), *(float(side) for side in box)] for name, *box in found]
    except (ValueError, TypeError) as error:
        raise DetectorError(
            f"{manifest}: boxes of {row['path']}: found {row['boxes'][:60]!r}; expected [[class, x1, y1, x2, y2], …]"
        ) from error


@dataclass(frozen=True)
class _Frame:
    """From one picture's pixels to those of the input."""

    manifest: Path
    path: str
    width: int
    height: int
    size: tuple[int, int]

    def item(self, box: list[object], classes: tuple[str, ...]) -> Item:
        name, sides = str(box[0]), [float(str(side)) for side in box[1:]]
        where = f"{self.manifest}: {self.path}"
        inside = (
            len(sides) == 4
            and 0 <= sides[0] < sides[2] <= self.width
            and 0 <= sides[1] < sides[3] <= self.height
        )
        if not inside:
            raise DetectorError(
                f"{where}: box {box} does not lie in its picture of {self.width}x{self.height}; "
                "expected x1 < x2 and y1 < y2 within it"
            )
        if name not in classes:
            raise DetectorError(f"{where}: class '{name}' is not in the training set {list(classes)}")
        across, down = self.size[0] / self.width, self.size[1] / self.height
        return (classes.index(name), sides[0] * across, sides[1] * down, sides[2] * across, sides[3] * down)
