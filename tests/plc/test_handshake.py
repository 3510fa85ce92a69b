"""Handshake words, revocation, confirmation, read-back: what the PLC is told and what follows from what it says."""

import signal
import time

import numpy as np
import pytest
from pydantic import ValidationError

from edge._core import PlcResult, Reason, Verdict
from edge.conveyor.settings import ConveyorSettings
from edge.plc.confirmation import RejectConfirmation
from edge.plc.registers import CONTROL, HANDSHAKE, VERDICT, HandshakeBit, decode, encode
from edge.plc.settings import ConfirmationSettings, PlcSettings
from edge.plc.told import ToldParts
from tests.plc.faulty_plc import FaultyPlc
from tests.plc.line_rig import make_world, rig, twin, until
from tools.twin.world import BIN_GOOD, BIN_REJECT

FIXED = ConveyorSettings(speed_source="fixed")
MS = 1_000_000
TRACKED = {"mode": "tracked", "handshake": True}


def handshake(plc: FaultyPlc) -> dict[str, int]:
    return decode(HANDSHAKE, plc.registers[16:32])


def say(plc: FaultyPlc, **control: int) -> None:
    values = {register.name: 0 for register in CONTROL.registers} | control
    plc.registers[72:80] = encode(CONTROL, values)


def verdicts(plc: FaultyPlc) -> list[tuple[int, int]]:
    """(sequence, verdict) of every record that arrived."""
    return [
        (int.from_bytes(data[5:9], "big"), int.from_bytes(data[13:15], "big"))
        for _, function, data in list(plc.requests)
        if function == 16 and data[:2] == b"\x00\x20"
    ]


def test_nothing_but_the_three_blocks_and_the_coil_is_touched_without_handshake(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1)
        line.decide(1, Verdict.REJECT, line.trigger(1))
        until(lambda: line.status.parts_ended == 1)
        writes = {(f, int.from_bytes(d[:2], "big")) for _, f, d in plc.requests if f not in {1, 3}}
        assert writes <= {(16, 0), (16, 32), (5, 0)}
        assert not any(plc.registers[16:32])


def test_triggers_results_and_recipe_are_told(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED, handshake=True) as line:
        until(lambda: line.status.line_ready == 1)
        line.decide(7, Verdict.PASS, line.trigger(7))
        until(lambda: handshake(plc)["inspection_id"] == 7)
        words = handshake(plc)
        assert words["trigger_ack"] == 7
        assert words["handshake_bits"] & HandshakeBit.TRIGGER_READY
        assert words["handshake_bits"] & HandshakeBit.RESULTS_VALID
        say(plc, results_ack=7)
        until(lambda: not handshake(plc)["handshake_bits"] & HandshakeBit.RESULTS_VALID)
        say(plc, results_ack=3)
        time.sleep(0.1)
        line.decide(8, Verdict.PASS, line.trigger(8))
        until(lambda: handshake(plc)["results_overrun"] == 1)
        say(plc, recipe_request=9)
        until(lambda: line.status.line_ready == 0)
        until(lambda: handshake(plc)["error_code"] == 8)
        say(plc, recipe_request=0)
        until(lambda: line.status.line_ready == 1)


def test_a_trigger_that_only_the_plc_saw_rejects_what_is_on_the_belt(tmp_path):
    world = make_world(tmp_path, 14)
    with twin(tmp_path / "world") as plc, rig(tmp_path, plc.port, handshake=True) as line:
        until(lambda: world.running)
        line.run_belt(world, lambda _: Verdict.PASS, unseen=range(4, 5))
        until(lambda: bool(np.all(world.parts["bin"])))
        assert world.parts["bin"][3] == BIN_REJECT
        assert world.parts["bin"][13] == BIN_GOOD


def test_a_pass_whose_acknowledgement_was_lost_is_taken_back_before_the_heartbeat(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED, **TRACKED) as line:
        until(lambda: line.status.line_ready == 1)
        plc.behaviour = "mute"
        line.decide(1, Verdict.PASS, line.trigger(1), budget_ms=12)
        until(lambda: (1, Verdict.PASS) in verdicts(plc))
        until(lambda: line.status.plc_connected == 0)
        plc.behaviour = "answer"
        seen = len(plc.requests)
        until(lambda: line.status.line_ready == 1)
        after = [(f, int.from_bytes(d[:2], "big")) for _, f, d in plc.requests[seen:] if f == 16]
        assert after.index((16, 32)) < after.index((16, 0)), "the reject comes before the heartbeat"
        assert verdicts(plc)[-1] == (1, Verdict.REJECT)
        until(lambda: handshake(plc)["revoked"] == 1)
        (record,) = line.final_records()
        assert (record["final_verdict"], record["final_reason"]) == (Verdict.REJECT, Reason.PLC_SILENT)


def test_no_heartbeat_while_a_pass_cannot_be_taken_back(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED, **TRACKED) as line:
        until(lambda: line.status.line_ready == 1)
        plc.behaviour = "slow"
        plc.delay_s = 0.03
        line.decide(1, Verdict.PASS, line.trigger(1), budget_ms=12)
        until(lambda: line.status.plc_connected == 0)
        beat = plc.registers[1]
        time.sleep(0.3)
        assert plc.registers[1] - beat & 0xFFFF <= 1
        plc.behaviour = "answer"
        until(lambda: line.status.line_ready == 1)


@pytest.mark.parametrize("mode", [TRACKED, {}], ids=["tracked", "pulse"])
def test_restarted_actuation_finishes_what_the_dead_one_left(tmp_path, mode):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED, **mode) as line:
        until(lambda: line.status.line_ready == 1)
        line.process.send_signal(signal.SIGSTOP)
        for part_id in (1, 2, 3):
            line.decide(part_id, Verdict.PASS if part_id != 2 else Verdict.REJECT, line.trigger(part_id))
        line.process.send_signal(signal.SIGKILL)
        line.process.wait(5)
        line.start()
        records: dict[int, object] = {}

        def finished() -> bool:
            records.update({int(r["part_id"]): r for r in line.final_records()})
            return len(records) == 3

        # Far sooner than the three seconds after which a reader would give the records up.
        until(finished, 2.5)
        assert {r["final_verdict"] for r in records.values()} == {Verdict.REJECT}
        assert {r["plc_result"] for r in records.values()} == {PlcResult.TIMEOUT}
        until(lambda: {(part_id, Verdict.REJECT) for part_id in (1, 2, 3)} <= set(verdicts(plc)))
        assert "left open are rejects" in line.words()


def test_a_part_that_is_spoken_of_again_is_told_once(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1)
        stamps = {1: line.trigger(1)}
        line.decide(1, Verdict.REJECT, stamps[1])
        until(lambda: line.status.parts_ended == 1)
        line.trigger(1, stamp_ns=stamps[1])  # by a camera that was away
        stamps[2] = line.trigger(2)
        line.decide(2, Verdict.REJECT, stamps[2])
        until(lambda: line.status.parts_ended == 3)
        line.process.send_signal(signal.SIGKILL)
        line.process.wait(5)
        line.decide(2, Verdict.PASS, stamps[2])  # by a loop that was held up, while nobody is here
        line.start()
        until(lambda: line.status.line_ready == 1)
        line.decide(1, Verdict.PASS, stamps[1])
        line.decide(3, Verdict.REJECT, line.trigger(3))
        until(lambda: 3 in [part_id for part_id, _ in verdicts(plc)])
        line.finish()
        assert sorted(part_id for part_id, _ in verdicts(plc)) == [1, 2, 3]
        said = [(r["part_id"], r["plc_result"]) for r in line.final_records()]
        superseded = PlcResult.SUPERSEDED
        assert [part for part, result in said if result == superseded] == [2, 1]


def test_a_source_that_counts_from_one_again_tells_of_other_parts(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1)
        for ended in (1, 2):
            line.decide(1, Verdict.REJECT, line.trigger(1))
            until(lambda ended=ended: line.status.parts_ended == ended)
        assert verdicts(plc) == [(1, Verdict.REJECT)] * 2


def test_told_parts_are_bounded():
    told = ToldParts(kept=2)
    told.update([(1, 10), (2, 20), (2, 20), (3, 30)])
    assert [key in told for key in ((1, 10), (2, 20), (3, 30), (3, 31))] == [False, True, True, False]


def test_a_coil_that_went_off_by_itself_is_written_again(tmp_path):
    with twin() as plc:
        from edge.plc.link import ModbusTcpLink

        other = ModbusTcpLink(PlcSettings(kind="tcp", port=plc.port))
        with rig(tmp_path, plc.port) as line:
            until(lambda: line.status.line_ready == 1)
            until(lambda: other.service(time.monotonic_ns()) > 0 and other.is_open)
            other.write_coil(0, True, time.monotonic_ns() + 500 * MS)
            until(lambda: "second master" in line.words())
            until(lambda: other.read_coils(0, 1, time.monotonic_ns() + 500 * MS).registers == (0,))
            until(lambda: line.status.line_ready == 0)


def test_a_dead_camera_is_known_by_its_beat(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1)
        line.kill_camera()
        until(lambda: plc.registers[4] == 4 and line.status.line_ready == 0)


def test_a_sorter_blows_for_its_class(tmp_path):
    sorter = {"name": "dents", "camera_to_ejector_mm": 100, "coil": 3, "classes": [2], "pulse_mm": 40}
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED, sorters=[sorter]) as line:
        until(lambda: line.status.line_ready == 1)
        line.decide(1, Verdict.REJECT, line.trigger(1))
        until(lambda: plc.coils[3])
        until(lambda: plc.coils[0])
        until(lambda: not plc.coils[3] and not plc.coils[0])
        line.decide(2, Verdict.PASS, line.trigger(2))
        until(lambda: line.status.parts_ended == 2)
        writes = [d for _, f, d in plc.requests if f == 5 and d == b"\x00\x03\xff\x00"]
        assert len(writes) == 1


def test_rejects_that_the_chute_did_not_see_are_an_alarm():
    confirmation = RejectConfirmation(ConfirmationSettings(within_ms=100))
    confirmation.seen(2**32 - 1, 0)
    for at in (0, 10, 20):
        confirmation.rejected(at * MS)
    confirmation.seen(1, 50 * MS)
    assert (confirmation.confirmed, confirmation.unconfirmed, confirmation.alarm) == (2, 0, False)
    confirmation.seen(1, 130 * MS)
    assert (confirmation.confirmed, confirmation.unconfirmed, confirmation.alarm) == (2, 1, True)
    confirmation.reset()
    # Seen before we thought that it had left: no alarm either.
    confirmation.seen(2, 200 * MS)
    confirmation.rejected(210 * MS)
    confirmation.seen(2, 900 * MS)
    assert (confirmation.unconfirmed, confirmation.alarm) == (1, False)


def test_missing_rejects_stop_the_line_when_told_so(tmp_path):
    confirmation = {"within_ms": 50, "stop_line": True}
    with (
        FaultyPlc() as plc,
        rig(tmp_path, plc.port, conveyor=FIXED, handshake=True, confirmation=confirmation) as line,
    ):
        until(lambda: line.status.line_ready == 1)
        line.decide(1, Verdict.REJECT, line.trigger(1))
        until(lambda: line.status.line_ready == 0)
        until(lambda: handshake(plc)["unconfirmed_rejects"] == 1)
        assert handshake(plc)["handshake_bits"] & HandshakeBit.ERROR
        say(plc, control_bits=1)
        until(lambda: line.status.line_ready == 1)


def test_settings_that_make_no_gate_are_refused():
    with pytest.raises(ValidationError, match="not upstream"):
        PlcSettings.model_validate(
            {"sorters": [{"name": "a", "camera_to_ejector_mm": 400, "coil": 1, "classes": [1]}]}
        )
    with pytest.raises(ValidationError, match="share a coil"):
        PlcSettings.model_validate({"sorters": [{"name": "a", "camera_to_ejector_mm": 4, "bins": [1]}]})
    with pytest.raises(ValidationError, match="needs handshake"):
        PlcSettings.model_validate({"confirmation": {}})
    assert VERDICT.words == 12
