from edge._core import Reason, Verdict
from edge.conveyor.doubt import Doubt
from edge.conveyor.settings import ConveyorSettings
from edge.conveyor.speed import EncoderBelt, FixedBelt
from edge.conveyor.tracking import Nozzle, ShiftRegister

MS = 1_000_000
NOZZLE = Nozzle(distance_mm=400, pulse_mm=40, lead_ns=8 * MS)
TIMEOUT_NS = 100 * MS


def make(capacity: int = 16) -> ShiftRegister:
    # 1 m/s: one millimetre per millisecond.
    return ShiftRegister(FixedBelt(ConveyorSettings(m_per_s=1.0)), NOZZLE, capacity)


def on_span(register: ShiftRegister, end_ms: int = 1_000) -> list[int]:
    return [ms for ms in range(end_ms) if register.ejector_on(ms * MS)]


def test_part_is_a_reject_until_it_is_settled():
    register = make()
    part = register.enter(1, 0, 0)
    assert (part.verdict, part.passes) == (Verdict.REJECT, False)
    register.settle(part, Verdict.PASS, Reason.NONE)
    assert part.passes
    register.settle(part, Verdict.REJECT, Reason.DEFECT)
    assert part.passes


def test_pulse_is_centred_on_the_part_and_leads_by_the_valve():
    register = make()
    part = register.enter(1, 0, 100 * MS)
    register.settle(part, Verdict.REJECT, Reason.DEFECT)
    span = on_span(register)
    assert (span[0], span[-1]) == (100 + 400 - 20 - 8, 100 + 400 + 20 - 8)


def test_passing_part_gets_no_pulse_and_an_unsettled_or_empty_one_does():
    register = make()
    for part_id, verdict in ((1, Verdict.PASS), (2, Verdict.NO_PART), (3, None)):
        part = register.enter(part_id, 0, part_id * 100 * MS)
        if verdict:
            register.settle(part, verdict, Reason.NONE)
    span = on_span(register)
    assert not [ms for ms in span if ms < 550]
    assert {592, 692} <= set(span)


def test_next_event_is_the_edge_of_the_pulse():
    register = make()
    part = register.enter(1, 0, 0)
    register.settle(part, Verdict.REJECT, Reason.DEFECT)
    begin_ns = register.next_event_ns(0, TIMEOUT_NS)
    assert abs(begin_ns - 372 * MS) < 0.1 * MS
    assert not register.ejector_on(begin_ns - 2000)
    assert register.ejector_on(begin_ns)
    end_ns = register.next_event_ns(begin_ns, TIMEOUT_NS)
    assert abs(end_ns - 412 * MS) < 0.1 * MS
    assert not register.ejector_on(end_ns)


def test_verdict_is_awaited_until_its_time_or_the_ejector():
    register = make()
    part = register.enter(1, 0, 0)
    assert register.next_event_ns(0, TIMEOUT_NS) == TIMEOUT_NS
    assert register.due_for_reject(TIMEOUT_NS - 1, TIMEOUT_NS) == []
    assert register.due_for_reject(TIMEOUT_NS, TIMEOUT_NS) == [part]
    assert register.due_for_reject(371 * MS, 10_000 * MS) == []
    assert register.due_for_reject(373 * MS, 10_000 * MS) == [part]


def test_part_leaves_only_settled_and_past_its_pulse():
    register = make()
    part = register.enter(1, 0, 0)
    assert not register.retire(900 * MS)
    register.settle(part, Verdict.PASS, Reason.NONE)
    assert not register.retire(419 * MS)
    assert len(register.retire(421 * MS)) == 1
    assert (len(register), register.ended, register.get(1)) == (0, 1, None)


def test_full_register_refuses_and_rejects_everything_meanwhile():
    register = make(capacity=2)
    for part_id in (1, 2):
        register.settle(register.enter(part_id, 0, part_id), Verdict.PASS, Reason.NONE)
    assert register.enter(3, 0, 3) is None
    assert register.ejector_on(100 * MS)
    register.retire(900 * MS)
    assert not register.ejector_on(900 * MS)


def test_blind_start_rejects_what_was_under_way():
    register = make()
    register.start_blind(100 * MS)
    span = on_span(register)
    assert span[-1] == 100 + 400 + 20 - 8
    assert len(span) == span[-1] + 1
    assert abs(register.next_event_ns(110 * MS, TIMEOUT_NS) - 512 * MS) < 0.1 * MS


def test_a_trigger_that_comes_behind_its_verdict_changes_nothing():
    register = make()
    register.settle(register.enter(1, 0, 0), Verdict.PASS, Reason.NONE)
    assert register.enter(1, 0, 0).passes
    assert [part.part_id for part in register.retire(900 * MS)] == [1]
    assert len(register) == 0


def test_belt_that_stands_still_moves_no_part():
    belt = EncoderBelt(ConveyorSettings(m_per_s=1.0), 0)
    belt.update(0, 0, 0)
    register = ShiftRegister(belt, NOZZLE)
    register.settle(register.enter(1, 0, 0), Verdict.REJECT, Reason.DEFECT)
    assert not register.ejector_on(10_000 * MS)
    assert register.next_event_ns(0, TIMEOUT_NS) == 1_000 * MS


def test_many_parts_are_tracked_and_each_meets_its_pulse():
    # 5,000 parts on 50 m of belt: more than any ring of the region holds.
    register = ShiftRegister(
        FixedBelt(ConveyorSettings(m_per_s=1.0)), Nozzle(distance_mm=60_000, pulse_mm=8, lead_ns=0)
    )
    for part_id in range(1, 5001):
        verdict = Verdict.REJECT if part_id % 7 == 0 else Verdict.PASS
        part = register.enter(part_id, 0, part_id * 10 * MS)
        register.settle(part, verdict, Reason.NONE)
    assert len(register) == 5000
    for part_id in (1, 7, 700, 701, 4998, 5000):
        assert register.ejector_on((60_000 + part_id * 10) * MS) == (part_id % 7 == 0)
    assert len(register.retire((60_000 + 2_500 * 10 + 5) * MS)) == 2_500


def test_a_pass_beside_a_reject_nearer_than_the_pulse_is_spared():
    register = make()
    for part_id, verdict in ((1, Verdict.PASS), (2, Verdict.REJECT), (3, Verdict.PASS)):
        register.settle(register.enter(part_id, 0, part_id * 15 * MS), verdict, Reason.DEFECT)
    span = on_span(register)
    assert span
    assert set(span) <= set(range(430 - 8 - 8, 430 - 8 + 8))
    assert 430 - 8 in span


def test_parts_on_top_of_each_other_are_both_rejected():
    register = make()
    register.settle(register.enter(1, 0, 100 * MS), Verdict.PASS, Reason.NONE)
    register.settle(register.enter(2, 0, 102 * MS), Verdict.REJECT, Reason.DEFECT)
    span = on_span(register)
    assert {100 + 400 - 8, 102 + 400 - 8} <= set(span)


def test_edges_of_pulses_that_were_cut_are_events():
    register = make()
    register.settle(register.enter(1, 0, 100 * MS), Verdict.PASS, Reason.NONE)
    register.settle(register.enter(2, 0, 120 * MS), Verdict.REJECT, Reason.DEFECT)
    begin_ns = register.next_event_ns(450 * MS, TIMEOUT_NS)
    assert abs(begin_ns - (110 + 392) * MS) < 0.1 * MS
    assert not register.ejector_on(begin_ns - 2000)
    assert register.ejector_on(begin_ns)


def test_a_sorter_takes_its_classes_and_the_main_ejector_takes_all():
    sorter = Nozzle(distance_mm=200, pulse_mm=40, lead_ns=0, takes=frozenset({(0, 3)}))
    register = ShiftRegister(FixedBelt(ConveyorSettings(m_per_s=1.0)), NOZZLE, sorters=(sorter,))
    for part_id, class_id in ((1, 2), (2, 3)):
        part = register.enter(part_id, 0, part_id * 100 * MS)
        register.settle(part, Verdict.REJECT, Reason.DEFECT, class_id=class_id)
    assert not register.sorter_on(0, 300 * MS)
    assert register.sorter_on(0, 400 * MS)
    assert register.ejector_on(492 * MS) and register.ejector_on(592 * MS)


def test_the_lease_ends_at_the_next_reject_and_never_beyond_what_was_seen():
    register = make()
    for part_id, verdict in ((1, Verdict.PASS), (2, Verdict.REJECT)):
        part = register.enter(part_id, 0, part_id * 100 * MS)
        register.settle(part, verdict, Reason.DEFECT)
    # In belt travel at which the coil must go on: 8 mm are the lead of the valve.
    assert register.clear_until_mm(300 * MS) == 200 + 400 - 20 - 8
    # In front of the nozzle now: its pulse is on, the lease reaches to what the sensor has not seen yet.
    assert register.ejector_on(590 * MS)
    assert register.clear_until_mm(590 * MS) == 590 + 400 - 20 - 8
    register.start_blind(600 * MS)
    assert register.clear_until_mm(650 * MS) == 650


def encoder_line(speeds_mm_per_s, counts, period_ms=40):
    belt = EncoderBelt(ConveyorSettings(m_per_s=1.2), 0)
    for i, (speed, count) in enumerate(zip(speeds_mm_per_s, counts, strict=True)):
        belt.update(count & 0xFFFFFFFF, speed, i * period_ms * MS)
    return belt


def test_in_doubt_the_lease_ends_where_the_belt_has_certainly_been():
    belt = encoder_line([1200] * 2, [0, 480])
    register = ShiftRegister(belt, NOZZLE)
    assert register.clear_until_mm(140 * MS) > 48 + 100 * 1.2
    belt.silent()
    assert register.clear_until_mm(140 * MS) == 48


def test_an_encoder_that_stands_while_the_belt_runs_rejects_everything():
    belt = encoder_line([1200] * 4, [0, 480, 960, 960])
    register = ShiftRegister(belt, NOZZLE)
    assert register.ejector_on(121 * MS)
    part = register.enter(1, 960, 125 * MS)
    assert register.blind_for(part)


def test_a_reversed_encoder_rejects_everything_and_a_wrap_does_not():
    assert encoder_line([1200] * 3, [0, -480, -960]).doubt is Doubt.MISMATCH
    start = 2**32 - 700
    assert encoder_line([1200] * 4, [start + i * 480 for i in range(4)]).doubt is Doubt.NONE


def test_a_ramp_a_creep_and_a_stop_are_no_reason_for_doubt():
    speeds, counts, count = [], [], 0.0
    for i in range(200):
        speed = max(0.0, 1200 - 12 * i) if i < 150 else 50.0
        speeds.append(round(speed))
        counts.append(int(count))
        count += (speed + (max(0.0, 1200 - 12 * (i + 1)) if i + 1 < 150 else 50.0)) / 2 * 0.04 * 10
    assert encoder_line(speeds, counts).doubt is Doubt.NONE


def test_a_belt_that_stops_at_once_and_parts_that_come_on_a_standing_one_are_doubted():
    belt = encoder_line([1200, 1200, 0], [0, 480, 480])
    assert belt.doubt is not Doubt.NONE
    belt = encoder_line([0] * 6, [0] * 6)
    assert belt.doubt is Doubt.NONE
    belt.trigger_position_mm(0, 300 * MS)
    assert belt.doubt is Doubt.MOVED_STANDING


def test_a_pulse_is_longer_by_what_is_not_known_of_the_belt():
    belt = EncoderBelt(ConveyorSettings(m_per_s=1.0, counts_per_mm=10), 0)
    belt.update(0, 1_000, -20 * MS, 20 * MS)
    assert belt.slack_mm == 20
    register = ShiftRegister(belt, NOZZLE, 16)
    part = register.enter(1, 1_000, 100 * MS)
    register.settle(part, Verdict.REJECT, Reason.DEFECT)
    span = on_span(register)
    assert (span[0], span[-1]) == (100 + 400 - 20 - 8 - 20, 100 + 400 + 20 - 8 + 20)
    first_ns, last_ns = span[0] * MS, span[-1] * MS
    assert register.next_event_ns(first_ns - 10 * MS, 10**12) - first_ns < 2_000
    assert register.next_event_ns(first_ns, 10**12) - last_ns < 2_000


def test_no_part_leaves_while_the_encoder_is_not_read():
    belt = EncoderBelt(ConveyorSettings(m_per_s=1.0, counts_per_mm=10), 0)
    belt.update(0, 1_000, 0)
    register = ShiftRegister(belt, NOZZLE, 16)
    part = register.enter(1, 1_000, 100 * MS)
    register.settle(part, Verdict.REJECT, Reason.DEFECT)
    # The belt stood for three seconds and nobody could tell.
    assert not register.retire(4_000 * MS)
    belt.update(4_900, 1_000, 4_000 * MS)
    assert register.ejector_on(4_000 * MS)
    belt.update(5_210, 1_000, 4_031 * MS)
    assert register.retire(4_031 * MS) == [part]


def test_a_pulse_that_has_begun_goes_on_when_the_encoder_says_that_the_belt_is_not_there_yet():
    """Else the coil would be off for a moment for a part that the lease leaves to the coil."""
    belt = EncoderBelt(ConveyorSettings(m_per_s=1.0, counts_per_mm=10), 0)
    register = ShiftRegister(belt, NOZZLE)
    assert belt.update(0, 1000, 0)
    register.settle(register.enter(1, 0, 0), Verdict.REJECT, Reason.DEFECT)
    begin_ns = register.next_event_ns(0, TIMEOUT_NS * 100)
    assert register.ejector_on(begin_ns)
    assert register.clear_until_mm(begin_ns) > 372.5, "left to the coil"
    assert belt.update((372 - 3) * 10, 1000, begin_ns), "three millimetres behind"
    assert register.ejector_on(begin_ns + MS)
    assert register.clear_until_mm(begin_ns + MS) <= 372.5, "no longer left to it"
    end_ns = begin_ns + round((40 + 3) * MS)
    assert register.ejector_on(end_ns - MS)
    assert not register.ejector_on(end_ns + MS)


def test_the_lease_leaves_no_part_to_a_coil_that_was_never_asked_for():
    register = make()
    register.settle(register.enter(1, 0, 0), Verdict.REJECT, Reason.DEFECT)
    assert register.clear_until_mm(380 * MS) == 400 - 20 - 8
    assert register.ejector_on(380 * MS)
    assert register.clear_until_mm(380 * MS) > 380


def test_a_pulse_that_began_early_for_a_slow_answer_goes_on_when_the_next_one_is_fast():
    belt = EncoderBelt(ConveyorSettings(m_per_s=6.0, max_m_per_s=10, counts_per_mm=10), 0)
    register = ShiftRegister(belt, NOZZLE)
    assert belt.update(0, 6000, -40 * MS, 40 * MS)
    assert belt.slack_mm > 100
    register.settle(register.enter(1, 0, 0), Verdict.REJECT, Reason.DEFECT)
    begin_ns = register.next_event_ns(0, TIMEOUT_NS * 100)
    assert register.ejector_on(begin_ns)
    here = round(belt.position_mm(begin_ns + MS) * 10)
    assert belt.update(here, 6000, begin_ns + MS, begin_ns + MS)
    assert belt.slack_mm < 50
    assert register.ejector_on(begin_ns + MS)
