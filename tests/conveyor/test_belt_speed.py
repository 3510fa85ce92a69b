import pytest

from edge.conveyor.doubt import Doubt
from edge.conveyor.settings import ConveyorSettings
from edge.conveyor.speed import EncoderBelt, FixedBelt

SETTINGS = ConveyorSettings(m_per_s=1.0, max_m_per_s=3.0, counts_per_mm=10)
MS = 1_000_000


def test_fixed_belt_moves_by_the_clock():
    belt = FixedBelt(ConveyorSettings(m_per_s=1.5))
    assert belt.position_mm(1_010 * MS) - belt.position_mm(1_000 * MS) == pytest.approx(15)
    assert belt.trigger_position_mm(12345, 1_000 * MS) == belt.position_mm(1_000 * MS)


def test_encoder_belt_is_carried_forward_between_readings():
    belt = EncoderBelt(SETTINGS, 0)
    belt.update(5_000, 2_000, 100 * MS)
    start_mm = belt.position_mm(100 * MS)
    assert belt.position_mm(150 * MS) - start_mm == pytest.approx(100)
    assert belt.encoder_count(belt.position_mm(150 * MS)) == 6_000
    belt.update(5_900, 2_000, 150 * MS)
    assert belt.position_mm(150 * MS) - start_mm == pytest.approx(90)


def test_first_reading_does_not_move_the_parts():
    belt = EncoderBelt(SETTINGS, 0)
    before_mm = belt.position_mm(100 * MS)
    belt.update(4_000_000_000, 500, 100 * MS)
    assert belt.position_mm(100 * MS) == before_mm


def test_encoder_wrap_is_travel():
    belt = EncoderBelt(SETTINGS, 0)
    belt.update(0xFFFFFFFF - 99, 1_000, 0)
    start_mm = belt.position_mm(0)
    belt.update(100, 1_000, 20 * MS)
    assert belt.position_mm(20 * MS) - start_mm == pytest.approx(20)
    assert belt.jumps == 0
    assert belt.trigger_position_mm(150, 25 * MS) - start_mm == pytest.approx(25)


def test_encoder_that_starts_anew_is_no_travel():
    belt = EncoderBelt(SETTINGS, 0)
    belt.update(1_000_000, 1_000, 0)
    start_mm = belt.position_mm(0)
    belt.update(0, 1_000, 50 * MS)
    assert belt.position_mm(50 * MS) - start_mm == pytest.approx(50)
    assert belt.jumps == 1
    belt.update(500, 1_000, 100 * MS)
    assert belt.position_mm(100 * MS) - start_mm == pytest.approx(100)


def test_impossible_speed_is_not_believed():
    belt = EncoderBelt(SETTINGS, 0)
    belt.update(0, 1_000, 0)
    assert not belt.update(10, 60_000, 10 * MS)
    assert belt.speed_m_per_s == 1.0


def test_trigger_is_where_its_count_says_unless_the_camera_counts_otherwise():
    belt = EncoderBelt(SETTINGS, 0)
    belt.update(10_000, 1_000, 0)
    start_mm = belt.position_mm(0)
    assert belt.trigger_position_mm(10_105, 10 * MS) - start_mm == pytest.approx(10.5)
    assert belt.trigger_position_mm(77, 10 * MS) - start_mm == pytest.approx(10)


def test_late_answer_is_placed_by_the_readings_before():
    belt = EncoderBelt(SETTINGS, 0)
    for step in range(4):
        belt.update(10_000 + 400 * step, 1_000, 40 * MS * step)
    assert belt.slack_mm == 0
    start_mm = belt.position_mm(120 * MS)
    # Asked at 160 ms and read at once, but the answer took 40 ms.
    belt.update(11_600, 1_000, 160 * MS, 200 * MS)
    assert belt.position_mm(200 * MS) - start_mm == pytest.approx(80)
    assert belt.slack_mm == pytest.approx(4)


def test_late_answer_without_a_reading_before_is_known_to_half_of_its_time():
    belt = EncoderBelt(SETTINGS, 0)
    belt.update(10_000, 1_000, 0, 20 * MS)
    assert belt.slack_mm == pytest.approx(10)
    belt.update(10_300, 1_000, 40 * MS, 41 * MS)
    assert belt.slack_mm == pytest.approx(0.5)


def test_answer_that_contradicts_the_readings_before_is_not_placed_by_them():
    belt = EncoderBelt(SETTINGS, 0)
    belt.update(10_000, 1_000, 0)
    belt.update(10_100, 1_000, 40 * MS, 70 * MS)
    assert belt.slack_mm == pytest.approx(15)


def test_trigger_while_the_plc_is_silent_is_where_its_count_says_though_the_belt_was_ramped():
    belt = EncoderBelt(SETTINGS, 0)
    belt.update(10_000, 1_000, 0)
    start_mm = belt.position_mm(0)
    # 0.7 s without a reading, and the belt went 600 mm, not 700.
    assert belt.trigger_position_mm(16_000, 700 * MS) - start_mm == pytest.approx(600)
    belt.update(16_000, 700, 700 * MS)
    assert belt.position_mm(700 * MS) - start_mm == pytest.approx(600)
    assert belt.doubt is Doubt.NONE


def test_triggers_without_a_count_while_the_plc_was_silent_are_doubted_if_the_belt_was_not_where_expected():
    for counts, doubt in ((6_950, Doubt.NONE), (6_000, Doubt.JUMP)):
        belt = EncoderBelt(SETTINGS, 0, latched=False)
        belt.update(0, 1_000, 0)
        belt.update(counts, 900, 700 * MS)
        assert belt.doubt is doubt


@pytest.mark.parametrize("gap_ms", [160, 700])
def test_silence_is_doubted_until_the_next_reading(gap_ms):
    belt = EncoderBelt(SETTINGS, 0)
    belt.update(10_000, 1_000, 0)
    belt.silent()
    assert belt.doubt is Doubt.SILENT
    belt.update(10_000 + 10 * gap_ms, 1_000, gap_ms * MS)
    assert belt.doubt is Doubt.NONE
    assert belt.read_ns == gap_ms * MS
