from typing import Any

import numpy as np
import pytest

from edge.errors import TwinError
from tools.twin.parts import CLASSES, FIRST_POSITION_MM, MIN_GAP_MM, PART_LENGTH_MM, plan_parts


def test_a_seed_gives_the_same_plan_and_a_longer_one_begins_with_it() -> None:
    assert plan_parts(50, 4) == plan_parts(80, 4)[:50]
    assert plan_parts(50, 4) != plan_parts(50, 5)


def test_namespaces_never_share_a_part() -> None:
    line = {spec.render_seed for seed in range(20) for spec in plan_parts(100, seed)}
    train = {spec.render_seed for seed in range(20) for spec in plan_parts(100, seed, namespace="train")}
    assert not line & train


@pytest.mark.parametrize("pitch_mm", [72.0, 80.0, 120.0])
def test_parts_keep_their_distance(pitch_mm: float) -> None:
    positions = np.array([spec.position_mm for spec in plan_parts(500, 1, pitch_mm=pitch_mm)])
    assert positions[0] >= FIRST_POSITION_MM
    assert np.diff(positions).min() >= PART_LENGTH_MM + MIN_GAP_MM - 1e-9


def test_shares_come_out_as_asked() -> None:
    specs = plan_parts(4000, 9, 0.25, ghost_share=0.1)
    counts = np.bincount([spec.class_id for spec in specs], minlength=len(CLASSES)) / len(specs)
    assert counts[0] == pytest.approx(0.1, abs=0.02)
    assert counts[2:].sum() == pytest.approx(0.9 * 0.25, abs=0.02)
    assert counts[2:].min() > 0.04


def test_a_plan_has_no_empty_places_unless_asked() -> None:
    assert all(spec.class_id != 0 for spec in plan_parts(500, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "at least 1"),
        ({"defect_share": 1.2}, "defect_share is 1.2"),
        ({"ghost_share": -0.1}, "ghost_share is -0.1"),
        ({"pitch_mm": 60.0}, "at least 72"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TwinError, match=message):
        plan_parts(**{"count": 5, "seed": 0, **arguments})
