"""Drift of light and focus."""

import pytest

from edge.report.drift import DriftWatch


def test_a_lamp_that_fades_is_seen_and_a_part_that_jumps_is_not() -> None:
    watch = DriftWatch()
    for _ in range(50):
        watch.add({"brightness_mean": 100.0, "sharpness": 0.5})
    watch.add({"brightness_mean": 220.0, "sharpness": 0.5})
    assert abs(watch.summary().drift_ev or 0.0) < 0.02
    for _ in range(2000):
        watch.add({"brightness_mean": 50.0, "sharpness": 0.25})
    found = watch.summary()
    assert found.drift_ev == pytest.approx(-1.0, abs=0.01)
    assert found.sharpness_ratio == pytest.approx(0.5, abs=0.01)


def test_before_there_is_a_reference_nothing_is_said() -> None:
    watch = DriftWatch()
    for _ in range(50):
        watch.add({"brightness_mean": 0.0, "sharpness": -1.0})  # no frame came
    watch.add({"brightness_mean": 90.0, "sharpness": -1.0})
    assert watch.summary().drift_ev is None
