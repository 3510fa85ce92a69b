"""Against cases that were counted by hand."""

import numpy as np
import pytest

from tools.detector.metrics import Picture, average_precision, iou, mean_average_precision, mean_iou


def picture(truth: list[list[float]], found: list[list[float]]) -> Picture:
    """Rows: x1, y1, x2, y2, class; found ones with a score at the end."""
    t, f = np.array(truth, np.float32).reshape(-1, 5), np.array(found, np.float32).reshape(-1, 6)
    return Picture(t[:, :4], t[:, 4].astype(np.int64), f[:, :4], f[:, 4].astype(np.int64), f[:, 5])


A, B = [0.0, 0, 10, 10], [20.0, 20, 30, 30]


def test_iou_of_boxes_that_meet_touch_and_miss() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 10, 10], [2, 2, 4, 4], [3, 3, 3, 3]], np.float32)
    np.testing.assert_allclose(iou(a, b)[0], [50 / 150, 0, 1, 4 / 100, 0], rtol=1e-6)
    assert mean_iou(np.repeat(a, 2, 0), b[:2]) == pytest.approx(1 / 6)
    assert np.isnan(mean_iou(a[:0], b[:0]))


def test_everything_found_and_nothing_else_is_one() -> None:
    assert average_precision([picture([[*A, 0], [*B, 0]], [[*A, 0, 0.9], [*B, 0, 0.8]])], 0) == 1.0


def test_a_false_alarm_before_the_last_hit_costs_precision_there() -> None:
    # Ranked hit, miss, hit: precision 1 up to recall 1/2, then 2/3 up to 1 → (1 + 2/3) / 2.
    found = [[*A, 0, 0.9], [50, 50, 60, 60, 0, 0.8], [*B, 0, 0.7]]
    assert average_precision([picture([[*A, 0], [*B, 0]], found)], 0) == pytest.approx(5 / 6)


def test_a_false_alarm_after_the_last_hit_costs_nothing() -> None:
    found = [[*A, 0, 0.9], [50, 50, 60, 60, 0, 0.1]]
    assert average_precision([picture([[*A, 0]], found)], 0) == 1.0


def test_a_second_box_on_the_same_truth_is_a_false_alarm() -> None:
    # Hit, double, hit: (1 + 2/3) / 2 again.
    found = [[*A, 0, 0.9], [*A, 0, 0.8], [*B, 0, 0.7]]
    assert average_precision([picture([[*A, 0], [*B, 0]], found)], 0) == pytest.approx(5 / 6)


def test_ranks_go_over_all_pictures() -> None:
    # A false alarm in a picture without any truth ranks first: precision 1/2 at the only hit.
    pictures = [picture([], [[*A, 0, 0.95]]), picture([[*A, 0]], [[*A, 0, 0.9]])]
    assert average_precision(pictures, 0) == pytest.approx(0.5)


def test_what_covers_less_than_half_is_no_hit() -> None:
    shifted = [4.0, 0, 14, 10]  # IoU 60 / 140
    assert average_precision([picture([[*A, 0]], [[*shifted, 0, 0.9]])], 0) == 0.0
    assert average_precision([picture([[*A, 0]], [[*shifted, 0, 0.9]])], 0, least_iou=0.4) == 1.0


def test_the_mean_is_over_the_classes_that_occur() -> None:
    pictures = [picture([[*A, 0], [*B, 1]], [[*A, 0, 0.9], [*A, 2, 0.9]])]
    assert mean_average_precision(pictures, 3) == pytest.approx(0.5)
    assert np.isnan(mean_average_precision([picture([], [])], 3))
