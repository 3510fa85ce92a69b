"""Boxes of a detector gate against the twin's truth: scale, classes and counts by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from calibration.predictions import LabelledFrame
from edge._core import PixelFormat
from edge.camera.settings import Roi
from tools.evaluate.boxes import BoxJudge

CLASSES = ("no_part", "flawless", "crack", "stain")


def box_class(name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, ignored=False, engine_class=name)


MANIFEST = SimpleNamespace(
    classes=CLASSES,
    input=SimpleNamespace(width=100, height=50),
    decoder=SimpleNamespace(
        part_class="part", box_classes=[box_class(n) for n in ("part", "crack", "stain")]
    ),
)


def frame(part: tuple[float, ...] | None, *defects: tuple[float, ...]) -> LabelledFrame:
    return LabelledFrame(
        np.zeros(1, np.uint8), 200, 100, 200, PixelFormat.MONO8, 2, part_box=part, defect_boxes=defects
    )


def judged(roi: Roi | None, found: list[tuple[float, ...]], part: object, seen: LabelledFrame) -> tuple:
    boxes = SimpleNamespace(detections=np.array(found, np.float32).reshape(-1, 6), part=part)
    judge = BoxJudge(boxes, MANIFEST, roi)  # type: ignore[arg-type]
    judge.add(seen)
    return judge.figures([2, 3])


def test_boxes_are_compared_in_frame_pixels() -> None:
    seen = frame((20, 20, 180, 80), (2, 40, 40, 60, 60))
    part = (10.0, 10.0, 90.0, 40.0, 0.9, 0)
    found = [(20.0, 20.0, 30.0, 30.0, 0.8, 1), part]
    assert judged(None, found, part, seen) == (pytest.approx(1.0), pytest.approx(1.0))


def test_a_region_of_interest_is_added() -> None:
    seen = frame((60, 30, 140, 70))
    part = (10.0, 5.0, 90.0, 45.0, 0.9, 0)
    iou, ap = judged(Roi(x=50, y=25, width=100, height=50), [], part, seen)
    assert iou == pytest.approx(1.0)
    assert ap is None  # no defect, nothing to find


def test_a_wrong_class_and_a_part_that_was_not_found() -> None:
    seen = frame((20, 20, 180, 80), (3, 40, 40, 60, 60))
    assert judged(None, [(20.0, 20.0, 30.0, 30.0, 0.8, 1)], None, seen) == (0.0, 0.0)
