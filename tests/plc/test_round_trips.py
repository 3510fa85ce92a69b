"""A tail that keeps parts from the classifier is doubted: fresh round trips replace it, and not too often."""

from edge._core import TailDoubt
from edge.plc.round_trips import RoundTrips
from tests.plc.faulty_plc import FaultyPlc
from tests.plc.line_rig import MS, rig, until
from tests.plc.test_actuation import FIXED

FAST, SLOW = MS // 10, 30 * MS
DOUBT_TRIPS, REST_NS = TailDoubt.RUNS, TailDoubt.REST_NS


def held_up() -> RoundTrips:
    trips = RoundTrips()
    for took in (*[FAST] * 500, *[SLOW] * 5, *[FAST] * 400):
        trips.add(took, 1)
    assert trips.p999_ns >= SLOW
    return trips


def test_nobody_doubts_what_nobody_complains_of():
    trips = held_up()
    for _ in range(DOUBT_TRIPS):
        trips.add(FAST, 2)
    assert trips.p999_ns >= SLOW and trips.p50_ns < 2 * FAST


def test_fresh_ones_replace_what_was_known_when_there_are_enough():
    trips = held_up()
    trips.doubt(2)
    for _ in range(DOUBT_TRIPS - 1):
        trips.add(FAST, 3)
    assert trips.p999_ns >= SLOW
    trips.doubt(4)  # asked for again: the count goes on
    trips.add(2 * FAST, 5)
    assert 2 * FAST <= trips.p999_ns < 3 * FAST  # the slowest of so few


def test_a_plc_that_stays_slow_is_left_in_peace_for_a_while():
    trips = held_up()
    trips.doubt(2)
    for _ in range(DOUBT_TRIPS):
        trips.add(SLOW, 5)
    trips.doubt(5 + REST_NS - 1)
    for _ in range(DOUBT_TRIPS):
        trips.add(FAST, 6)
    assert trips.p999_ns >= SLOW
    trips.doubt(5 + REST_NS)
    for _ in range(DOUBT_TRIPS):
        trips.add(FAST, 7)
    assert trips.p999_ns < SLOW


def test_the_loops_doubt_reaches_the_round_trips_of_the_running_line(tmp_path):
    slow_ns = 300 * MS  # longer than a machine under load holds an answer up
    with FaultyPlc(delay_s=0.3) as plc, rig(tmp_path, plc.port, conveyor=FIXED, timeout_ms=1000) as line:
        until(lambda: line.status.line_ready == 1)
        plc.behaviour = "slow"
        until(lambda: line.status.plc_write_p999_ns >= slow_ns, 30)
        plc.behaviour = "answer"
        line.status.plc_tail_doubts += 1
        until(lambda: 0 < line.status.plc_write_p999_ns < slow_ns, 60)
