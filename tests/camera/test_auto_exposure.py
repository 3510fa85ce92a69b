"""Auto-exposure: its limits as a pure rule, when it acts, and on a GigE Vision device whose light changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge._core import Region
from edge.camera.auto_exposure import ExposureKeeper, next_us
from edge.camera.settings import AravisSettings, AutoExposureSettings
from edge.errors import CameraError

SETTINGS = AutoExposureSettings(mean=90, lowest_us=100, highest_us=400, parts=5)


@given(
    exposure_us=st.floats(100, 400),
    mean=st.floats(0, 255),
    lights=st.lists(st.floats(0, 5), min_size=1, max_size=60),
)
def test_one_step_at_most_and_never_beyond_the_limits(exposure_us, mean, lights):
    for light in lights:
        new = next_us(SETTINGS, exposure_us, mean)
        if new is not None:
            assert 100 <= new <= 400
            assert abs(new / exposure_us - 1) <= SETTINGS.step + 1e-9
            assert (new > exposure_us) == (mean < SETTINGS.mean)
            exposure_us = new
        mean = min(255.0, light * exposure_us)


def test_under_steady_light_it_comes_to_rest():
    exposure_us, changes = 350.0, 0
    for _ in range(100):
        new = next_us(SETTINGS, exposure_us, 0.45 * exposure_us)
        changes += new is not None
        exposure_us = new or exposure_us
    assert changes < 15 and next_us(SETTINGS, exposure_us, 0.45 * exposure_us) is None
    assert 0.45 * exposure_us == pytest.approx(90, rel=SETTINGS.tolerance)


@pytest.fixture
def status(tmp_path):
    return Region.create(str(tmp_path / "region"), frame_slots=2, slot_bytes=4096).status


def seen(status, parts, mean):
    """What the loop tells when it has decided so many parts."""
    status.triggers_pushed += parts
    status.light_frames += parts
    status.light_sum_milli += round(parts * mean * 1000)
    status.parts_decided += parts


def test_it_acts_only_between_parts_and_on_whole_windows(status):
    told = []
    keeper = ExposureKeeper(SETTINGS, status, 200.0, told.append)
    assert status.camera_exposure_ns == 200_000
    seen(status, 4, 20)
    keeper.look()
    assert told == []  # too few
    seen(status, 1, 20)
    status.triggers_pushed += 1  # the next part is in view already
    keeper.look()
    assert told == []
    keeper.look()
    status.triggers_pushed -= 1
    keeper.look()
    assert told == []  # between parts, but nobody knows for how long
    seen(status, 1, 20)
    keeper.look()
    assert told == [210.0]
    seen(status, 4, 20)
    keeper.look()
    assert told == [210.0]  # counted anew since the change
    seen(status, 1, 20)
    keeper.look()
    assert told == [210.0, pytest.approx(220.5)]
    assert status.camera_exposure_changes == 2 and status.camera_exposure_ns == 220_500


def test_a_camera_that_is_away_keeps_what_it_has(status):
    def gone(_value):
        raise CameraError("not open")

    keeper = ExposureKeeper(SETTINGS, status, 200.0, gone)
    seen(status, 5, 20)
    keeper.look()
    assert keeper.exposure_us == 200.0 and status.camera_exposure_changes == 0


def test_settings_that_would_swing_or_begin_outside_are_refused():
    with pytest.raises(ValueError, match="would go to and fro"):
        AutoExposureSettings(mean=90, lowest_us=1, highest_us=2, tolerance=0.05, step=0.1)
    with pytest.raises(ValueError, match="not below highest_us"):
        AutoExposureSettings(mean=90, lowest_us=3, highest_us=2)
    with pytest.raises(ValueError, match="exposure_us None: set exposure_us"):
        AravisSettings(kind="aravis", auto_exposure=SETTINGS)
