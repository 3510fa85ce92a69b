"""The PLC asks for another recipe: READY, the answer and the refusal, on the wire."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge._core import Verdict
from edge.conveyor.settings import ConveyorSettings
from edge.plc.registers import STATUS, ControlBit, FaultCode, StatusBit, decode
from tests.plc.faulty_plc import FaultyPlc
from tests.plc.line_rig import Rig, rig, until
from tests.plc.test_handshake import handshake, say

FIXED = ConveyorSettings(speed_source="fixed")


def status(plc: FaultyPlc) -> dict[str, int]:
    return decode(STATUS, plc.registers[0:16])


def is_ready(plc: FaultyPlc) -> bool:
    return bool(status(plc)["status_bits"] & StatusBit.READY)


@pytest.fixture
def line(tmp_path) -> Iterator[tuple[FaultyPlc, Rig]]:
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED, recipes=(1, 2), handshake=True) as line:
        line.status.recipe_active = 1
        until(lambda: line.status.line_ready == 1)
        yield plc, line


@contextmanager
def loop_that_changes(line: Rig) -> Iterator[None]:
    """What the loop does with a request, without its engines."""
    over = threading.Event()

    def follow() -> None:
        while not over.is_set():
            if line.status.recipe_wanted:
                line.status.recipe_active = line.status.recipe_wanted
            time.sleep(0.002)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_ready_is_down_from_the_request_to_the_change_and_the_answer_comes_with_it(line):
    plc, runtime = line
    say(plc, recipe_request=2)
    until(lambda: runtime.status.recipe_wanted == 2)
    until(lambda: not is_ready(plc))
    assert handshake(plc)["recipe_active"] == 1
    assert status(plc)["fault_code"] == FaultCode.NONE
    runtime.status.recipe_active = 2
    until(lambda: handshake(plc)["recipe_active"] == 2)
    assert is_ready(plc)
    assert status(plc)["recipe_id"] == 2
    say(plc, recipe_request=0)
    time.sleep(0.2)
    assert handshake(plc)["recipe_active"] == 2
    assert is_ready(plc)


@pytest.mark.parametrize("by_loop", [False, True], ids=["unknown number", "engines fail"])
def test_a_recipe_that_cannot_be_had_is_refused_and_the_one_that_runs_stays(line, by_loop):
    plc, runtime = line
    say(plc, recipe_request=2 if by_loop else 9)
    if by_loop:
        until(lambda: runtime.status.recipe_wanted == 2)
        runtime.status.recipe_refused = 2
    until(lambda: status(plc)["fault_code"] == FaultCode.RECIPE)
    assert handshake(plc)["error_code"] == FaultCode.RECIPE
    assert handshake(plc)["recipe_active"] == 1
    assert not is_ready(plc)
    say(plc, recipe_request=1)
    until(lambda: is_ready(plc))


def test_the_request_that_stands_is_known_before_the_first_ready(tmp_path):
    with FaultyPlc() as plc:
        say(plc, recipe_request=9)
        with rig(tmp_path, plc.port, conveyor=FIXED, recipes=(1,), handshake=True) as line:
            line.status.recipe_active = 1
            until(lambda: status(plc)["fault_code"] == FaultCode.RECIPE)
            beats = [r for _, f, r in plc.requests if f == 16 and r[:2] == b"\x00\x00"]
            assert not any(beat[5 + 2 * 3 + 1] & StatusBit.READY for beat in beats)
            assert line.status.line_ready == 0


def test_an_unjudged_part_is_recorded_with_the_recipe_that_was_active(line):
    plc, runtime = line
    with loop_that_changes(runtime):
        say(plc, recipe_request=2)
        until(lambda: runtime.status.recipe_active == 2)
    runtime.trigger(1)  # nobody judges it
    until(lambda: runtime.status.parts_ended == 1)
    (record,) = runtime.final_records()
    assert (record["final_verdict"], record["recipe"]) == (Verdict.REJECT, 2)


def test_a_recipe_that_is_taken_back_is_an_alarm_and_ready_returns(line):
    plc, runtime = line
    say(plc, recipe_request=1)
    runtime.status.rollback_wanted = 1  # the line's first recipe
    until(lambda: not is_ready(plc))
    runtime.status.rolled_back = 1
    until(lambda: handshake(plc)["error_code"] == FaultCode.RECIPE_TAKEN_BACK and is_ready(plc))
    assert handshake(plc)["recipe_active"] == 1
    assert status(plc)["fault_code"] == FaultCode.NONE
    say(plc, control_bits=ControlBit.RESET_ERROR)
    until(lambda: handshake(plc)["error_code"] == FaultCode.NONE)
    runtime.trigger(1)  # nobody judges it
    until(lambda: runtime.status.parts_ended == 1)
    (record,) = runtime.final_records()
    assert (record["recipe"], record["recipe_earlier"]) == (1, 1)


def test_what_cannot_be_taken_back_keeps_the_line_from_being_ready(line):
    plc, runtime = line
    runtime.status.rollback_refused = 1
    until(lambda: status(plc)["fault_code"] == FaultCode.RECIPE)
    assert not is_ready(plc)
    with loop_that_changes(runtime):
        say(plc, recipe_request=2)  # of which nobody has said anything
        until(lambda: is_ready(plc))
