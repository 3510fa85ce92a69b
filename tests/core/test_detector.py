"""The native decoders against a slow reference that follows the public exports' own words, location by location."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge._core import BoxScores, CoreError, Detector, DetectorKind

Raw = NDArray[np.float32]
Found = list[tuple[float, float, float, float, float, int]]
STRIDES = (8, 16, 32)
WIDTH, HEIGHT, CLASSES, REG_MAX = 100, 72, 4, 7  # no multiples of the strides: grids are rounded up


def grid(stride: int) -> list[tuple[int, int]]:
    return [(x, y) for y in range(-(-HEIGHT // stride)) for x in range(-(-WIDTH // stride))]


def softmax(x: NDArray[Any]) -> NDArray[Any]:
    shifted = np.exp(x.astype(np.float64) - x.max())
    return np.asarray(shifted / shifted.sum())


def nanodet_plus(raw: Raw) -> Found:
    found, row = [], iter(raw)
    for stride in STRIDES:
        for x, y in grid(stride):
            numbers = next(row)
            sides = [
                float(softmax(numbers[CLASSES + 8 * side : CLASSES + 8 * side + 8]) @ np.arange(8)) * stride
                for side in range(4)
            ]
            box = (x * stride - sides[0], y * stride - sides[1], x * stride + sides[2], y * stride + sides[3])
            found += [(*box, float(numbers[c]), c) for c in range(CLASSES)]
    return found


def yolov5(raw: Raw) -> Found:
    return [
        (
            *(numbers[0] - numbers[2] / 2, numbers[1] - numbers[3] / 2),
            *(numbers[0] + numbers[2] / 2, numbers[1] + numbers[3] / 2),
            float(numbers[4] * numbers[5 + c]),
            c,
        )
        for numbers in raw.astype(np.float64)
        for c in range(CLASSES)
    ]


def yolox(raw: Raw) -> Found:
    decoded, row = raw.astype(np.float64), 0
    for stride in STRIDES:
        for x, y in grid(stride):
            decoded[row, :2] = (decoded[row, :2] + (x, y)) * stride
            decoded[row, 2:4] = np.exp(decoded[row, 2:4]) * stride
            row += 1
    return yolov5(np.asarray(decoded))


def clip(item: tuple[float, ...]) -> tuple[float, ...]:
    x1, y1, x2, y2 = (
        min(max(v, 0.0), float(most))
        for v, most in zip(item[:4], (WIDTH, HEIGHT, WIDTH, HEIGHT), strict=True)
    )
    return (x1, y1, x2, y2, *item[4:])


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def suppressed(found: Found, least: float, iou: float) -> list[tuple[float, ...]]:
    kept: list[tuple[float, ...]] = []
    for item in sorted((clip(item) for item in found if item[4] >= least), key=lambda item: -item[4]):
        if all(item[5] != other[5] or overlap(item, other) <= iou for other in kept):
            kept.append(item)
    return kept


def noise(kind: DetectorKind, rows: int, rng: np.random.Generator) -> Raw:
    if kind == DetectorKind.NANODET_PLUS:
        scores = rng.random((rows, CLASSES)) ** 6
        return np.concatenate((scores, rng.normal(0, 3, (rows, 4 * (REG_MAX + 1)))), 1).astype(np.float32)
    place = rng.normal(0, 1, (rows, 4)) if kind == DetectorKind.YOLOX else rng.random((rows, 4)) * 60 + 5
    return np.concatenate((place, rng.random((rows, 1 + CLASSES)) ** 3), 1).astype(np.float32)


LAYOUTS: list[tuple[DetectorKind, int, Callable[[Raw], Found]]] = [
    (DetectorKind.NANODET_PLUS, 1, nanodet_plus),
    (DetectorKind.YOLOV5, 3, yolov5),
    (DetectorKind.YOLOX, 1, yolox),
]


def make(kind: DetectorKind, **changes: Any) -> Detector:
    arguments: dict[str, Any] = {
        "kind": kind,
        "input_width": WIDTH,
        "input_height": HEIGHT,
        "classes": CLASSES,
        "strides": list(STRIDES),
        "min_score": 0.3,
        "nms_iou": 0.5,
        "max_candidates": 5000,
        "max_detections": 1000,
    }
    return Detector(**(arguments | changes))


@pytest.mark.parametrize(("kind", "anchors", "reference"), LAYOUTS)
@pytest.mark.parametrize("seed", range(3))
def test_boxes_are_those_of_the_reference(
    kind: DetectorKind, anchors: int, reference: Callable[[Raw], Found], seed: int
) -> None:
    detector = make(kind)
    assert detector.locations == anchors * sum(len(grid(stride)) for stride in STRIDES)
    raw = noise(kind, detector.locations, np.random.default_rng(seed))
    assert detector.decode(raw)
    wanted = np.array(suppressed(reference(raw), 0.3, 0.5))
    assert len(wanted) > 20
    np.testing.assert_allclose(detector.detections, wanted, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize(
    ("kind", "size", "classes", "shape"),
    [
        (DetectorKind.NANODET_PLUS, 320, 80, (2125, 112)),
        (DetectorKind.NANODET_PLUS, 416, 80, (3598, 112)),
        (DetectorKind.YOLOV5, 640, 80, (25200, 85)),
        (DetectorKind.YOLOX, 640, 80, (8400, 85)),
        (DetectorKind.YOLOX, 416, 80, (3549, 85)),
    ],
)
def test_shapes_are_those_of_public_exports(
    kind: DetectorKind, size: int, classes: int, shape: tuple[int, int]
) -> None:
    strides = [8, 16, 32, 64] if kind == DetectorKind.NANODET_PLUS else [8, 16, 32]
    detector = Detector(kind=kind, input_width=size, input_height=size, classes=classes, strides=strides)
    assert (detector.locations, detector.outputs) == shape


def test_the_best_candidates_are_kept_when_there_are_too_many() -> None:
    raw = noise(DetectorKind.YOLOV5, make(DetectorKind.YOLOV5).locations, np.random.default_rng(5))
    few = make(DetectorKind.YOLOV5, max_candidates=40, nms_iou=1.0)
    many = make(DetectorKind.YOLOV5, nms_iou=1.0)
    assert few.decode(raw)
    assert many.decode(raw)
    np.testing.assert_array_equal(few.detections, many.detections[:40])


def test_an_output_of_another_size_is_refused() -> None:
    with pytest.raises(CoreError, match="expected 164 locations of 9"):
        make(DetectorKind.YOLOX).decode(np.zeros((1, 8400, 85), np.float32))


def box_scores(gain: float = 1.0, bias: float = 0.0) -> BoxScores:
    return BoxScores(
        detector=make(DetectorKind.NANODET_PLUS),
        classes=[(-1, 1.0, 0.0), (2, gain, bias), (3, gain, bias), (-1, 1.0, 0.0)],
        part_class=0,
        scores=4,
        good=1,
        empty=0,
    )


@pytest.mark.parametrize("seed", range(4))
def test_scores_follow_their_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = box_scores(gain=1.7, bias=-0.4)
    raw = noise(DetectorKind.NANODET_PLUS, scores.shape[0], rng) * np.float32(0.6)
    assert scores.decode(raw)
    best = raw[:, :CLASSES].max(0).astype(np.float64)
    mapped = 1 / (1 + np.exp(-(1.7 * np.log(best / (1 - best)) - 0.4)))
    part, defects = best[0], mapped[1:3]
    some = 1 - np.prod(1 - defects)
    wanted = [(1 - part) * (1 - some), part * (1 - some), *(some * defects / defects.sum())]
    np.testing.assert_allclose(scores.scores[0], wanted, rtol=1e-4)
    assert scores.scores.sum() == pytest.approx(1, abs=1e-5)


def test_the_part_and_the_worst_defect_are_told() -> None:
    scores = box_scores()
    raw = np.zeros(scores.shape, np.float32)
    raw[45, 0], raw[45, CLASSES + 3 :: 8] = 0.9, 30  # stride 8, three to each side
    raw[46, 2], raw[46, CLASSES + 1 :: 8] = 0.6, 30
    assert scores.decode(raw)
    x, y = grid(8)[45]
    assert scores.part == pytest.approx((8 * x - 24, 8 * y - 24, 8 * x + 24, 8 * y + 24, 0.9, 0), abs=1e-3)
    assert scores.defect is not None
    assert scores.defect[4:] == pytest.approx((0.6, 3))


def test_what_is_no_number_gives_scores_that_are_none() -> None:
    scores = box_scores()
    view = scores.scores
    raw = np.zeros(scores.shape, np.float32)
    assert scores.decode(raw)
    assert np.isfinite(view).all()
    raw[3, 20] = np.nan
    assert not scores.decode(raw)
    assert np.isnan(view).all()
    assert scores.part is None
    assert scores.defect is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": [(2, 1.0, 0.0)]}, "expected one entry for each"),
        ({"classes": [(-1, 1.0, 0.0), (1, 1.0, 0.0), (3, 1.0, 0.0), (3, 1.0, 0.0)]}, "index of a defect"),
        ({"good": 0}, "none of the classes"),
        ({"classes": [(-1, 0.0, 0.0)] * 4}, "gain above 0"),
    ],
)
def test_meanings_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "detector": make(DetectorKind.NANODET_PLUS),
        "classes": [(-1, 1.0, 0.0), (2, 1.0, 0.0), (3, 1.0, 0.0), (-1, 1.0, 0.0)],
        "part_class": 0,
        "scores": 4,
        "good": 1,
        "empty": 0,
    }
    with pytest.raises(CoreError, match=message):
        BoxScores(**(arguments | changes))
