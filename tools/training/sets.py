"""Pictures with labels, and sets that come with a manifest."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.errors import TrainError

Pictures = NDArray[np.uint8]
Size = tuple[int, int]
_NEEDED = ("path", "class", "split")


@dataclass(frozen=True)
class Labelled:
    """``images`` uint8 N×3×H×W (RGB, not normalised; may be mapped from disk), ``labels`` int64 N."""

    images: Pictures
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    exposure_ev: NDArray[np.float32] | None = None
    cells: Pictures | None = None
    """N×h×w class ids: what lies in each cell of a grid over the picture; 0 where there is no defect."""
    marks: int = 0
    """So many of the last classes only teach features: no engine has them."""

    def take(self, index: NDArray[np.int64]) -> "Labelled":
        """The chosen pictures, in that order."""
        exposure = None if self.exposure_ev is None else self.exposure_ev[index]
        cells = None if self.cells is None else self.cells[index]
        return replace(
            self, images=self.images[index], labels=self.labels[index], exposure_ev=exposure, cells=cells
        )

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The classes that an engine has."""
        return self.classes[: len(self.classes) - self.marks]


@dataclass(frozen=True)
class Row:
    """One picture of a manifest. ``line`` is its line in the file, for messages."""

    path: Path
    label: str
    split: str
    group: str
    line: int
    exposure: str = ""
    """Step of an exposure sweep, if the part was taken in several; empty: the usual one."""
    boxes: str = ""
    """JSON list of [class, x1, y1, x2, y2] in pixels; empty: none known."""


def manifest_rows(manifest: Path, prefix: str = "") -> list[Row]:
    """The rows whose path begins with ``prefix``.

    Raises TrainError: no such file, missing columns, no row left, a group on both sides of a split.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise TrainError(f"{manifest}: no column {missing}; expected at least {', '.join(_NEEDED)}")
            rows = [_row(manifest, entry, line) for line, entry in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError) as error:
        raise TrainError(f"{manifest}: cannot be read: {error}; expected a CSV manifest") from error
    rows = [row for row in rows if row.path.relative_to(manifest.parent).as_posix().startswith(prefix)]
    if not rows:
        raise TrainError(f"{manifest}: no row whose path begins with '{prefix}'; choose another --prefix")
    _refuse_leaks(manifest, rows)
    return rows


def _row(manifest: Path, entry: dict[str, str], line: int) -> Row:
    return Row(
        path=manifest.parent / entry["path"],
        label=entry["class"],
        split=entry["split"],
        group=entry.get("group") or entry["path"],
        line=line,
        exposure=entry.get("exposure") or "",
        boxes=entry.get("boxes") or "",
    )


def _refuse_leaks(manifest: Path, rows: Sequence[Row]) -> None:
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(row.group, row)
        if other.split != row.split:
            raise TrainError(
                f"{manifest}: group '{row.group}' is in split '{other.split}' (line {other.line}) and in "
                f"'{row.split}' (line {row.line}): the same physical part would be learnt and examined; "
                "move all its pictures to one split"
            )


def read_split(rows: Sequence[Row], split: str, classes: tuple[str, ...], size: Size) -> Labelled:
    """The pictures of one split, shrunk to ``size`` (width, height) by area."""
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        raise TrainError(f"no picture in split '{split}'; found {sorted({row.split for row in rows})}")
    images = np.empty((len(chosen), 3, size[1], size[0]), np.uint8)
    for image, row in zip(images, chosen, strict=True):
        image[:] = _read_picture(row, size).transpose(2, 0, 1)
    return Labelled(images, np.array([classes.index(row.label) for row in chosen]), classes)


def _read_picture(row: Row, size: Size) -> Pictures:
    picture = cv2.imread(str(row.path), cv2.IMREAD_COLOR)
    if picture is None:
        raise TrainError(
            f"{row.path} (line {row.line} of the manifest): missing or broken; expected a picture; "
            "restore it or delete the line"
        )
    shrinks = picture.shape[1] >= size[0]
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB), np.uint8)


def known_classes(rows: Sequence[Row]) -> tuple[str, ...]:
    """Class names in alphabetical order. Raises TrainError when one has fewer than two training pictures."""
    classes = tuple(sorted({row.label for row in rows}))
    if len(classes) < 2:
        raise TrainError(f"the set has the class {list(classes)} only; expected at least two")
    for name in classes:
        count = sum(row.label == name and row.split == "train" for row in rows)
        if count < 2:
            raise TrainError(
                f"class '{name}' has {count} training picture(s); expected at least 2: add pictures, or "
                "leave the class out of the manifest"
            )
    return classes
