"""The actuation process on real sockets: what the PLC got, what fell where, what the records say."""

import signal
import threading
import time

import numpy as np
import pytest

from edge._core import PlcResult, Reason, Verdict
from edge.conveyor.settings import ConveyorSettings
from edge.plc.registers import VERDICT, decode
from tests.plc.faulty_plc import FaultyPlc
from tests.plc.line_rig import make_world, rig, twin, until
from tools.twin.world import BIN_GOOD, BIN_REJECT

FIXED = ConveyorSettings(speed_source="fixed")


def every_third_is_bad(part_id: int) -> Verdict:
    return Verdict.REJECT if part_id % 3 == 0 else Verdict.PASS


def bins_expected(world) -> list[int]:
    return [
        BIN_REJECT if every_third_is_bad(i + 1) is Verdict.REJECT else BIN_GOOD
        for i in range(len(world.parts))
    ]


@pytest.mark.parametrize("mode", ["pulse", "tracked"])
@pytest.mark.parametrize("profile", ["1.2", "0:1.2,1:0.8,2.5:1.3"])
def test_every_part_falls_where_its_verdict_says(tmp_path, profile, mode):
    world = make_world(tmp_path, 40, profile)
    with twin(tmp_path / "world", mode) as plc, rig(tmp_path, plc.port, mode=mode) as line:
        until(lambda: world.running)
        line.run_belt(world, every_third_is_bad)
        until(lambda: line.status.parts_ended == 40)
        until(lambda: bool(np.all(world.parts["bin"])))
        line.finish()
        assert list(world.parts["bin"]) == bins_expected(world)
        assert set(world.parts["verdict_count"]) == {1}
        assert not world.parts["late"].any()
        assert line.status.plc_writes == 40
        assert line.status.plc_unconfirmed == 0
        assert line.status.parts_tracked == 0
        records = line.final_records()
        assert [r["final_verdict"] for r in records] == [every_third_is_bad(r["part_id"]) for r in records]
        assert {r["plc_result"] for r in records} == {PlcResult.ACKED}


def test_part_without_a_verdict_is_rejected_by_actuation_and_its_late_verdict_is_not_sent(tmp_path):
    world = make_world(tmp_path, 6)
    with twin(tmp_path / "world") as plc, rig(tmp_path, plc.port) as line:
        until(lambda: world.running)
        line.run_belt(world, lambda part_id: None if part_id == 3 else Verdict.PASS)
        line.decide(3, Verdict.PASS, 1, budget_ms=1000)
        until(lambda: line.status.parts_ended == 6)
        until(lambda: bool(np.all(world.parts["bin"])))
        assert list(world.parts["bin"]) == [BIN_GOOD, BIN_GOOD, BIN_REJECT, BIN_GOOD, BIN_GOOD, BIN_GOOD]
        assert set(world.parts["verdict_count"]) == {1}
        of_part = {r["part_id"]: r for r in line.final_records() if r["plc_result"] != PlcResult.SUPERSEDED}
        assert len(of_part) == 6
        assert of_part[3]["final_verdict"] == Verdict.REJECT
        assert of_part[3]["final_reason"] == Reason.NO_VERDICT


def test_plc_killed_in_mid_run_loses_no_part_and_the_line_comes_back(tmp_path):
    world = make_world(tmp_path, 60)
    with twin(tmp_path / "world") as plc, rig(tmp_path, plc.port) as line:

        def verdict(part_id: int) -> Verdict:
            if part_id == 12:
                plc.kill()
            if part_id == 20:
                threading.Thread(target=plc.start).start()
            return every_third_is_bad(part_id)

        until(lambda: world.running)
        line.run_belt(world, verdict)
        until(lambda: line.status.parts_ended == 60)
        until(lambda: bool(np.all(world.parts["bin"])))
        line.finish()
        assert line.status.plc_reconnects == 1
        # On a busy machine our stand-in for the loop may itself be too late for a part.
        records = [r for r in line.final_records() if r["plc_result"] != PlcResult.SUPERSEDED]
        assert sorted(r["part_id"] for r in records) == list(range(1, 61))
        unconfirmed = [r for r in records if r["plc_result"] not in (PlcResult.ACKED, PlcResult.LATE)]
        assert len(unconfirmed) == line.status.plc_unconfirmed > 0
        assert {r["final_verdict"] for r in unconfirmed} == {Verdict.REJECT}
        # Whatever the record calls a reject does not lie among the good parts, and nobody got two verdicts.
        bins = world.parts["bin"]
        assert all(
            bins[r["part_id"] - 1] == BIN_REJECT for r in records if r["final_verdict"] == Verdict.REJECT
        )
        assert world.parts["verdict_count"].max() == 1
        assert line.words().count("was lost") == 1


def test_killed_actuation_makes_the_plc_divert_everything(tmp_path):
    world = make_world(tmp_path, 20)
    with twin(tmp_path / "world") as plc, rig(tmp_path, plc.port) as line:
        until(lambda: world.running)
        line.process.send_signal(signal.SIGKILL)
        line.process.wait(5)
        until(lambda: bool(np.all(world.parts["bin"])), 10)
        assert set(world.parts["bin"]) == {BIN_REJECT}


def test_restarted_actuation_rejects_the_parts_that_it_never_saw(tmp_path):
    world = make_world(tmp_path, 20)
    with twin(tmp_path / "world") as plc, rig(tmp_path, plc.port) as line:
        until(lambda: world.running)
        line.run_belt(world, lambda _: Verdict.PASS)
        line.process.send_signal(signal.SIGKILL)
        line.process.wait(5)
        killed_ns = time.monotonic_ns()
        untracked = np.flatnonzero(world.parts["bin"] == 0)
        assert len(untracked) > 2
        line.start()
        until(lambda: bool(np.all(world.parts["bin"])))
        # Before the watchdog had run out nobody could know that we are dead.
        after = world.parts["crossing_ns"] > killed_ns + 100_000_000
        assert after.any()
        assert set(world.parts["bin"][after]) == {BIN_REJECT}


def test_plc_that_drops_the_connection_is_a_reconnect_and_gets_the_coil_anew(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1)
        for count in (1, 2, 3):
            coil_writes = sum(function == 5 for _, function, _ in plc.requests)
            plc.hang_up()
            until(lambda count=count: line.status.plc_reconnects == count and line.status.line_ready == 1)
            assert sum(function == 5 for _, function, _ in plc.requests) > coil_writes


def test_refused_ejector_coil_stops_the_heartbeat(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED, ejector={"coil": 99}) as line:
        until(lambda: "refuses the ejector coil 99" in line.words())
        assert plc.registers[1] == 0
        assert line.status.line_ready == 0
        assert line.words().count("refuses") == 1


def test_waits_for_a_plc_that_is_not_there_and_says_so_once(tmp_path):
    with twin() as plc:
        port = plc.port
    with rig(tmp_path, port) as line:
        until(lambda: line.status.actuation_ready == 1)
        until(lambda: "no PLC at" in line.words())
        line.decide(1, Verdict.PASS, line.trigger(1))
        until(lambda: line.status.plc_unconfirmed == 1)
        assert (line.status.plc_connected, line.status.line_ready) == (0, 0)
        assert line.words().count("no PLC at") == 1
        with twin(port=port):
            until(lambda: line.status.line_ready == 1)
            assert line.status.plc_connected == 1
            assert line.status.plc_reconnects == 0
            assert 0 < line.status.plc_write_p999_ns < 10**9
        (record,) = line.final_records()
        assert (record["final_verdict"], record["final_reason"]) == (Verdict.REJECT, Reason.PLC_SILENT)
        assert record["plc_result"] == PlcResult.DISCONNECTED


@pytest.mark.parametrize(
    ("behaviour", "result"),
    [
        ("mute", {PlcResult.TIMEOUT, PlcResult.DISCONNECTED}),
        ("garbage", {PlcResult.DISCONNECTED}),
        ("wrong_transaction", {PlcResult.DISCONNECTED}),
        ("exception", {PlcResult.REFUSED}),
        ("slow", {PlcResult.TIMEOUT, PlcResult.DISCONNECTED, PlcResult.LATE}),
        ("reset", {PlcResult.DISCONNECTED}),
    ],
)
def test_a_pass_that_a_faulty_plc_does_not_confirm_becomes_a_reject(tmp_path, behaviour, result):
    with FaultyPlc(delay_s=0.06) as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1)
        plc.behaviour = behaviour
        began = time.monotonic()
        for part_id in range(1, 9):
            line.decide(part_id, Verdict.PASS, line.trigger(part_id))
            time.sleep(0.03)
        until(lambda: line.status.parts_ended == 8, 5)
        assert time.monotonic() - began < 5
        plc.behaviour = "answer"
        until(lambda: line.status.line_ready == 1)
        line.decide(9, Verdict.PASS, line.trigger(9))
        until(lambda: line.status.plc_writes >= 1)
        line.finish()
        records = line.final_records()
        assert [r["part_id"] for r in records] == list(range(1, 10))
        assert {r["final_verdict"] for r in records[:8]} == {Verdict.REJECT}
        seen = {r["plc_result"] for r in records[:8]}
        # On a busy machine the server of this test may be late as well.
        assert seen & result and seen <= result | {PlcResult.TIMEOUT, PlcResult.DISCONNECTED}
        assert records[8]["final_verdict"] == Verdict.PASS
        sequences = [_sequence(data) for _, function, data in plc.requests if _is_verdict(function, data)]
        assert len(sequences) == len(set(sequences))


def test_verdict_record_holds_what_the_loop_decided(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1)
        line.decide(70_001, Verdict.REJECT, line.trigger(70_001, 5000), encoder_count=5000)
        until(lambda: line.status.plc_writes == 1)
        values = decode(VERDICT, plc.registers[32 : 32 + VERDICT.words])
        assert values["latency"] >= 100
        del values["latency"]
        assert values == {
            "sequence": 70_001,
            "encoder_count": 5000,
            "verdict": Verdict.REJECT,
            "class_id": 2,
            "confidence": 9700,
            "reason": Reason.DEFECT,
            "valid_until": 9000,
            "commit": 70_001 & 0xFFFF,
        }


def test_verdict_past_its_deadline_is_sent_as_a_reject(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1)
        line.decide(1, Verdict.PASS, line.trigger(1), budget_ms=-1)
        until(lambda: line.status.plc_writes == 1)
        values = decode(VERDICT, plc.registers[32 : 32 + VERDICT.words])
        assert (values["verdict"], values["reason"]) == (Verdict.REJECT, Reason.OVERRUN)
        line.finish()
        (record,) = line.final_records()
        assert (record["final_verdict"], record["plc_result"]) == (Verdict.REJECT, PlcResult.LATE)


def test_a_verdict_that_comes_while_a_beat_is_answered_goes_before_any_question(tmp_path):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, mode="tracked", poll_period_ms=5) as line:
        until(lambda: line.status.line_ready == 1)
        parts = iter(range(1, 21))
        came_at = []

        def a_part_comes(function: int, data: bytes) -> None:
            if function == 16 and not _is_verdict(function, data) and (part_id := next(parts, 0)):
                came_at.append(len(plc.requests))
                line.decide(part_id, Verdict.PASS, line.trigger(part_id), budget_ms=1000)

        plc.meanwhile = a_part_comes
        until(lambda: line.status.plc_writes == 20)
        assert [_is_verdict(*plc.requests[at][1:]) for at in came_at] == [True] * 20


@pytest.mark.parametrize("cause", ["inspection", "camera"])
def test_line_is_not_ready_when_what_it_needs_is_not_alive(tmp_path, cause):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1 and plc.registers[3] & 1 == 1)
        if cause == "inspection":
            line.hang_inspection()
        else:
            line.status.camera_ready = 0
        until(lambda: plc.registers[3] & 1 == 0 and line.status.line_ready == 0, 2)
        assert plc.registers[3] & 2 == 2
        assert plc.registers[4] == {"inspection": 2, "camera": 3}[cause]
        beat = plc.registers[1]
        until(lambda: plc.registers[1] != beat)


@pytest.mark.parametrize("how", ["status", "SIGTERM"])
def test_end_tells_the_plc_and_switches_the_coil_off(tmp_path, how):
    with FaultyPlc() as plc, rig(tmp_path, plc.port, conveyor=FIXED) as line:
        until(lambda: line.status.line_ready == 1)
        line.decide(1, Verdict.REJECT, line.trigger(1))
        until(lambda: plc.coils[0])
        if how == "status":
            line.status.stop = 1
        else:
            line.process.send_signal(signal.SIGTERM)
        assert line.process.wait(5) == 0
        assert not plc.coils[0]
        assert plc.registers[3] & 1 == 0
        assert (line.status.line_ready, line.status.actuation_ready) == (0, 0)


def test_line_without_a_plc_keeps_its_verdicts(tmp_path):
    with rig(tmp_path, 502, kind="none") as line:
        until(lambda: line.status.line_ready == 1)
        line.decide(1, Verdict.PASS, line.trigger(1))
        until(lambda: line.status.parts_ended == 1)
        (record,) = line.final_records()
        assert (record["final_verdict"], record["plc_result"]) == (Verdict.PASS, PlcResult.DISCONNECTED)
        assert (line.status.plc_unconfirmed, line.status.plc_connected) == (0, 0)


def test_missing_region_is_a_clear_error(tmp_path):
    with rig(tmp_path, 502, kind="none") as line:
        line.finish()
        (tmp_path / "region").unlink()
        line.start()
        assert line.process.wait(5) == 1
        assert "region" in line.words()


def _is_verdict(function: int, data: bytes) -> bool:
    return function == 16 and int.from_bytes(data[:2], "big") == 32


def _sequence(data: bytes) -> int:
    return int.from_bytes(data[5:9], "big")
