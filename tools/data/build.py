"""The copies of a set: which pictures, how many of each, altered how. All chances hang on the seed and the row."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from calibration.augment import Box, lay_onto
from tools.data.alter import Boxes, Picture, alter, patch
from tools.data.folds import TRAIN
from tools.data.policies import Policies
from tools.errors import TrainError
from tools.training.sets import Row

_BLEND_TRIES = 4


@dataclass(frozen=True)
class Sample:
    """One picture of the new set, BGR, with the rows that it was made of."""

    row: Row
    fold: int
    picture: Picture
    boxes: Boxes
    kind: str
    """original, altered or blended."""
    good: Row | None = None
    """The good part below a blended defect."""


@dataclass(frozen=True)
class Plan:
    """What is made. ``good``: the class of good parts; empty: nothing is blended."""

    target: int
    side: int
    seed: int
    good: str
    policies: Policies
    folds: dict[str, int]


def copies_per_row(rows: Sequence[Row], target: int) -> dict[int, int]:
    """Copies of each training row (key: its line), so that classes grow towards the same size."""
    of_class: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.split == TRAIN:
            of_class[row.label].append(row)
    wanted = (target - sum(row.split != TRAIN for row in rows)) / max(1, len(of_class))
    copies: dict[int, int] = {}
    for members in of_class.values():
        missing = max(0, math.floor(wanted) - len(members))
        each, more = divmod(missing, len(members))
        copies |= {row.line: each + (place < more) for place, row in enumerate(members)}
    return copies


def boxes_of(row: Row, width: int, height: int) -> Boxes:
    """Boxes of a row. Raises TrainError: not as expected, or outside the picture."""
    try:
        found = [tuple(float(value) for value in entry[1:]) for entry in json.loads(row.boxes or "[]")]
        boxes: list[Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in found]
    except (ValueError, TypeError, KeyError) as error:
        raise TrainError(
            f"line {row.line} of the manifest: boxes {row.boxes!r}; expected JSON such as "
            '[["crack", 10, 20, 40, 60]]'
        ) from error
    for x1, y1, x2, y2 in boxes:
        if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
            raise TrainError(
                f"line {row.line} of the manifest: box {[x1, y1, x2, y2]} is not inside {row.path.name} "
                f"({width}×{height} pixels); expected 0 ≤ x1 < x2 ≤ {width} and 0 ≤ y1 < y2 ≤ {height}"
            )
    return boxes


def read(row: Row) -> tuple[Picture, Boxes]:
    """Picture (BGR) and boxes. Raises TrainError: missing, broken, a box outside."""
    picture = cv2.imread(str(row.path), cv2.IMREAD_COLOR)
    if picture is None:
        raise TrainError(
            f"{row.path} (line {row.line} of the manifest): missing or broken; expected a picture; "
            "restore it or delete the line"
        )
    return np.asarray(picture, np.uint8), boxes_of(row, picture.shape[1], picture.shape[0])


def samples(rows: Sequence[Row], plan: Plan) -> Iterator[Sample]:
    """Every original as a patch; of the training rows altered and blended copies besides."""
    copies = copies_per_row(rows, plan.target)
    good = [row for row in rows if row.split == TRAIN and row.label == plan.good]
    for row in rows:
        bgr, boxes = read(row)
        fold = plan.folds.get(row.group, -1)
        cut, kept = patch(bgr, boxes, plan.side, np.random.default_rng([plan.seed, row.line]))
        yield Sample(row, fold, cut, kept, "original")
        # A blended copy must not carry a part of another fold into the learning side.
        partners = [other for other in good if plan.folds[other.group] == fold]
        for copy in range(copies.get(row.line, 0)):
            rng = np.random.default_rng([plan.seed, row.line, copy])
            yield _copy(row, (bgr, boxes), partners if row.label != plan.good else [], plan, rng)


def _copy(
    row: Row,
    source: tuple[Picture, Boxes],
    partners: Sequence[Row],
    plan: Plan,
    rng: np.random.Generator,
) -> Sample:
    policy = plan.policies.of(row.label)
    bgr, boxes, below = *source, None
    if partners and boxes and rng.random() < policy.blend_share:
        for _ in range(_BLEND_TRIES):
            other = partners[int(rng.integers(len(partners)))]
            laid = _blend(source, read(other)[0], rng)
            if laid is not None:
                (bgr, boxes), below = laid, other
                break
    altered, moved = alter(bgr, boxes, policy, rng)
    if boxes and not moved:
        # The warp pushed the defect out of the picture: it would be a good part with a wrong label.
        altered, moved = bgr, boxes
    cut, kept = patch(altered, moved, plan.side, rng)
    fold = plan.folds.get(row.group, -1)
    return Sample(row, fold, cut, kept, "blended" if below else "altered", below)


def _blend(
    source: tuple[Picture, Boxes], good: Picture, rng: np.random.Generator
) -> tuple[Picture, Boxes] | None:
    bgr, boxes = source
    box = boxes[int(rng.integers(len(boxes)))]
    laid = lay_onto(bgr, box, good, int(rng.integers(2**31)))
    if laid is None:
        return None
    # lay_onto moves the defect a little: it lies where the good part changed.
    change = np.abs(laid.astype(np.int16) - good).max(2)
    ys, xs = np.nonzero(change > 0)
    if not len(xs):
        return None
    return laid, [(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))]
