import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import TwinError
from tools.twin.conveyor import SpeedProfile


def test_constant_speed():
    profile = SpeedProfile.parse("1.2")
    assert profile.position_mm(10) == pytest.approx(12_000)
    assert profile.speed_m_per_s(1e6) == 1.2
    assert profile.time_at_s(600) == pytest.approx(0.5)


def test_ramp_is_linear_and_constant_after_the_last_knot():
    profile = SpeedProfile.parse("0:1.2,10:0.8,20:1.2")
    assert profile.speed_m_per_s(5) == pytest.approx(1.0)
    assert profile.position_mm(10) == pytest.approx(10_000)
    assert profile.position_mm(20) == pytest.approx(20_000)
    assert profile.position_mm(21) == pytest.approx(21_200)


def test_profile_whose_first_knot_is_late_holds_its_speed_until_then():
    assert SpeedProfile.parse("5:1.0,6:2.0").position_mm(5) == pytest.approx(5_000)


def test_belt_that_stops_never_arrives():
    profile = SpeedProfile.parse("0:1,2:0")
    assert profile.position_mm(100) == pytest.approx(1_000)
    assert profile.time_at_s(1_000) == pytest.approx(2)
    assert math.isinf(profile.time_at_s(1_001))


knots = st.lists(
    st.tuples(st.floats(0.01, 20), st.one_of(st.just(0.0), st.floats(0.01, 3))), min_size=1, max_size=6
)


@given(knots, st.floats(0.001, 0.999))
def test_time_is_the_inverse_of_position(steps, share):
    times = [0.0]
    for step, _ in steps:
        times.append(times[-1] + step)
    speeds = [1.0] + [speed for _, speed in steps]
    profile = SpeedProfile(list(zip(times, speeds, strict=True)))
    position_mm = profile.position_mm(times[-1]) * share
    t_s = profile.time_at_s(position_mm)
    assert profile.position_mm(t_s) == pytest.approx(position_mm, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fast", "'fast'"),
        ("", "''"),
        ("1.2 m/s", "1.2 m/s"),
        ("0:1.2,10", "'10' has no colon"),
        ("0:1.2,5:x", "'x'"),
        ("5:1,5:2", "rising"),
        ("-1", "'-1'"),
        ("nan", "'nan'"),
        ("99", "'99'"),
        ("-1:1,2:2", "'-1'"),
    ],
)
def test_bad_profile_says_what_was_found(text, found):
    with pytest.raises(TwinError, match=found):
        SpeedProfile.parse(text)
