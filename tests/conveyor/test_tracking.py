from edge._core import Reason, Verdict
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
    assert register.ejector_on(begin_ns)
    assert not register.ejector_on(begin_ns - 2000)
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
    assert register.retire(900 * MS) == 0
    register.settle(part, Verdict.PASS, Reason.NONE)
    assert register.retire(410 * MS) == 0
    assert register.retire(413 * MS) == 1
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


def test_belt_that_stands_still_moves_no_part():
    belt = EncoderBelt(ConveyorSettings(m_per_s=1.0), 0)
    belt.update(0, 0, 0)
    register = ShiftRegister(belt, NOZZLE)
    register.settle(register.enter(1, 0, 0), Verdict.REJECT, Reason.DEFECT)
    assert not register.ejector_on(10_000 * MS)
    assert register.next_event_ns(0, TIMEOUT_NS) == 1_000 * MS
