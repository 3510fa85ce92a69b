"""The router of known scores, and decision rules, without a loop."""

import numpy as np
import pytest

from edge import _core
from edge._core import Action, Reason, Route, Verdict

EMPTY, GOOD, CRACK, STAIN = range(4)


def row(speed: float = 1.0, **changes: float) -> _core.RoutingRow:
    values = {"gate_good": 0.9, "gate_defect": 0.8, "gate_empty": 0.9, "classifier_good": 0.7, **changes}
    return _core.RoutingRow(speed_um_per_s=round(speed * 1e6), **values)


def router(*rows: _core.RoutingRow, **options: object) -> _core.PartRouter:
    roles = _core.ClassRoles(good=GOOD, empty=EMPTY)
    return _core.PartRouter(rows=list(rows), roles=roles, **options)


def ask(
    which: _core.PartRouter,
    gate: list[float],
    second: list[float] | None = None,
    again: list[float] | None = None,
    *,
    speed: float = 1.0,
    looks: int = 2,
) -> tuple[str, str, str, int]:
    def batch(scores: list[float] | None) -> np.ndarray | None:
        return None if scores is None else np.array([scores], np.float32)

    out = which.route(
        batch(gate),
        batch(second),
        batch(again),
        speeds_um_per_s=np.array([round(speed * 1e6)], np.int64),
        looks_in_time=np.array([looks], np.uint8),
    )
    return (
        Verdict(out["verdict"][0]).name,
        Reason(out["reason"][0]).name,
        Route(out["route"][0]).name,
        int(out["looks"][0]),
    )


UNSURE = [0.0, 0.6, 0.4, 0.0]


@pytest.mark.parametrize(
    ("scores", "looks", "expected"),
    [
        (([0, 0.95, 0.05, 0], None), 2, ("PASS", "NONE", "GATE", 0)),
        (([0, 0.1, 0.5, 0.4], None), 2, ("REJECT", "DEFECT", "GATE", 0)),
        (([0.95, 0.05, 0, 0], None), 2, ("NO_PART", "NONE", "GATE", 0)),
        (([0, np.nan, 0, 0], None), 2, ("REJECT", "ENGINE", "GATE", 0)),
        (([0, 1.5, 0, 0], None), 2, ("REJECT", "ENGINE", "GATE", 0)),
        ((UNSURE, None), 2, ("REJECT", "UNCERTAIN", "GATE", 0)),
        ((UNSURE, [0, 0.9, 0.1, 0]), 0, ("REJECT", "NO_TIME", "GATE", 0)),
        ((UNSURE, [0, 0.9, 0.1, 0]), 1, ("PASS", "NONE", "CLASSIFIER", 1)),
        ((UNSURE, [0.95, 0.05, 0, 0]), 1, ("NO_PART", "NONE", "CLASSIFIER", 1)),
        ((UNSURE, [0, np.nan, 0, 0]), 1, ("REJECT", "ENGINE", "CLASSIFIER", 1)),
    ],
)
def test_scores_become_answers(scores: tuple, looks: int, expected: tuple) -> None:
    assert ask(router(row()), *scores, looks=looks) == expected


def test_two_looks_or_none() -> None:
    table = router(row(retest_good=0.3))
    good, bad = [0, 0.95, 0.05, 0], [0, 0.2, 0.8, 0]
    assert ask(table, UNSURE, good, good) == ("PASS", "NONE", "CLASSIFIER", 2)
    assert ask(table, UNSURE, good, bad)[:2] == ("REJECT", "UNCERTAIN")
    assert ask(table, UNSURE, good, good, looks=1) == ("REJECT", "NO_TIME", "CLASSIFIER", 1)
    assert ask(table, UNSURE, bad, good)[3] == 1


def test_speeds_find_their_row_and_leave_the_table() -> None:
    table = router(row(2.0, gate_good=0.99), row(1.0))
    sure = [0, 0.95, 0.05, 0]
    assert [ask(table, sure, speed=v)[0] for v in (0, 0.5, -0.5, 1.0)] == ["PASS"] * 4
    assert ask(table, sure, speed=1.000001)[:2] == ("REJECT", "UNCERTAIN")
    assert ask(table, sure, speed=2.1)[:2] == ("REJECT", "SPEED")
    assert ask(table, sure, speed=-2.1)[:2] == ("REJECT", "SPEED")


def test_a_detectors_scores_need_not_sum_to_one() -> None:
    assert ask(router(row()), [0, 0.95, 0.3, 0.3])[0] == "PASS"
    assert ask(router(row()), [0, 0.95, 0.7, 0.9])[:2] == ("REJECT", "DEFECT")


def test_an_empty_table_and_arrays_of_other_sizes_are_refused() -> None:
    with pytest.raises(_core.CoreError, match="table is empty"):
        router()
    with pytest.raises(_core.CoreError, match="for every part"):
        router(row()).route(
            np.zeros((2, 4), np.float32),
            None,
            None,
            speeds_um_per_s=np.zeros(1, np.int64),
            looks_in_time=np.zeros(2, np.uint8),
        )


BOOK = _core.RuleBook(
    rules=[
        _core.Rule(class_id=STAIN, max_size_mm=1.0, zone=0, action=Action.PASS),
        _core.Rule(class_id=CRACK, min_size_mm=5.0, action=Action.HOLD_LINE, bin=3),
        _core.Rule(class_id=CRACK, min_score=0.9, action=Action.REWORK, bin=2),
    ],
    zones=[_core.Zone(0.2, 0.2, 0.8, 0.8)],
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"class_id": STAIN, "size_mm": 0.8, "x": 0.5, "y": 0.5}, (Action.PASS, 0, 1)),
        ({"class_id": STAIN, "size_mm": 1.2, "x": 0.5, "y": 0.5}, (Action.REJECT, 0, 0)),
        ({"class_id": STAIN, "size_mm": 0.8, "x": 0.1, "y": 0.5}, (Action.REJECT, 0, 0)),
        ({"class_id": STAIN, "size_mm": 0.8}, (Action.REJECT, 0, 0)),  # where it is nobody knows: no pass
        ({"class_id": STAIN, "x": 0.5, "y": 0.5}, (Action.REJECT, 0, 0)),
        ({"class_id": CRACK, "size_mm": 6.0}, (Action.HOLD_LINE, 3, 2)),
        ({"class_id": CRACK}, (Action.HOLD_LINE, 3, 2)),  # unknown size: as if long
        ({"class_id": CRACK, "size_mm": 1.0}, (Action.REWORK, 2, 3)),
        ({"class_id": CRACK, "size_mm": 1.0, "score": 0.5}, (Action.REJECT, 0, 0)),
    ],
)
def test_the_first_rule_that_fits_decides(found: dict, expected: tuple) -> None:
    assert BOOK.decide(**{"score": 0.95, **found}) == expected


def test_second_views_and_sharpness() -> None:
    preprocess = _core.Preprocess(out_width=6, out_height=4, mean=(0.5,) * 3, std=(0.25,) * 3)
    rng = np.random.default_rng(2)
    image = rng.random((1, 3, 4, 6), np.float32)
    mirrored = image.copy()
    assert _core.make_second_view(
        _core.SecondView.MIRRORED, preprocess, mirrored, brightness_mean=100, brightness_wanted=100
    )
    assert np.array_equal(mirrored, image[..., ::-1])
    brighter = image.copy()
    _core.make_second_view(
        _core.SecondView.EXPOSED, preprocess, brighter, brightness_mean=50, brightness_wanted=100
    )
    grey = np.minimum((image * 0.25 + 0.5) * 2, 1)
    assert np.allclose(brighter, (grey - 0.5) / 0.25, atol=1e-5)
    smooth = np.broadcast_to(np.linspace(0, 1, 6, dtype=np.float32), image.shape).copy()
    assert _core.sharpness(preprocess, image) > 10 * _core.sharpness(preprocess, smooth)
    assert _core.sharpness(preprocess, np.ones_like(image)) == -1
    assert _core.sharpness(preprocess, image * 0.3 + 0.1) == pytest.approx(
        _core.sharpness(preprocess, image), rel=1e-3
    )
