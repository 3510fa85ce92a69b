"""The runtime's Modbus side against a PLC on libmodbus, and the twin against mbpoll: neither knows the other."""

import subprocess
import time

import pytest

from edge._core import PlcResult, Verdict
from edge.plc.link import ModbusTcpLink
from edge.plc.registers import PLC, STATUS, StatusBit, decode, encode
from edge.plc.settings import PlcSettings
from tests.peers.libmodbus_plc import GOOD, REJECT_BIN, Belt, libmodbus_plc
from tests.peers.need import need
from tests.plc.line_rig import rig, twin, until

SECOND = 1_000_000_000


def open_link(port: int, **changes: object) -> ModbusTcpLink:
    link = ModbusTcpLink(PlcSettings.model_validate({"kind": "tcp", "port": port, **changes}))
    until(lambda: link.service(time.monotonic_ns()) > 0 and link.is_open)
    return link


def soon() -> int:
    return time.monotonic_ns() + SECOND


def mbpoll(port: int, *arguments: str) -> str:
    need("mbpoll")
    command = ["mbpoll", "-m", "tcp", "-p", str(port), "-0", "-1", "-q", "127.0.0.1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def every_third_is_bad(part_id: int) -> Verdict:
    return Verdict.REJECT if part_id % 3 == 0 else Verdict.PASS


def test_libmodbus_takes_what_we_write_and_answers_what_we_read(tmp_path):
    with libmodbus_plc(tmp_path) as plc:
        link = open_link(plc.port)
        assert link.write_registers(100, [1, 2, 65535], soon()).acked
        assert link.read_registers(100, 3, soon()).registers == (1, 2, 65535)
        assert link.write_coil(3, True, soon()).acked
        refused = link.write_registers(300, [1], soon())
        assert (refused.result, refused.exception_code) == (PlcResult.REFUSED, 2)
        assert link.read_registers(64, 8, soon()).acked


@pytest.mark.parametrize("mode", ["pulse", "tracked"])
def test_every_part_falls_where_its_verdict_says_on_an_independent_plc(tmp_path, mode):
    belt = Belt(ramp=0.2, encoder_start=2**32 - 20_000)  # the encoder wraps after two metres
    with (
        libmodbus_plc(tmp_path, belt, f"--mode={mode}") as plc,
        rig(tmp_path, plc.port, mode=mode) as line,
    ):
        line.run_belt(plc, every_third_is_bad)
        until(lambda: line.status.parts_ended == belt.parts)
        fates = plc.finish()
        rejected = {r["part_id"] for r in line.final_records() if r["final_verdict"] == Verdict.REJECT}
    # A part that our stand-in for the loop gave up on a busy machine is a reject in both books.
    assert {3 * i for i in range(1, 14)} <= rejected
    assert [p.bin for p in fates.parts] == [
        REJECT_BIN if p.part_id in rejected else GOOD for p in fates.parts
    ]
    assert {p.records for p in fates.parts} == {1}
    assert (fates.gaps, fates.torn, fates.duplicates, fates.jumps) == (0, 0, 0, 0)


def test_independent_plc_diverts_when_the_heartbeat_ends(tmp_path):
    with libmodbus_plc(tmp_path) as plc:
        link = open_link(plc.port)
        values = {r.name: 0 for r in STATUS.registers} | {
            "protocol_version": 1,
            "heartbeat_period_ms": 50,
            "status_bits": int(StatusBit.READY),
        }

        def state() -> int:
            return decode(PLC, link.read_registers(64, PLC.words, soon()).registers)["state"]

        for beat in (7, 8):
            assert link.write_registers(0, encode(STATUS, {**values, "heartbeat": beat}), soon()).acked
        assert state() == 1
        time.sleep(0.1)
        assert state() == 2


def test_mbpoll_reads_and_writes_the_twin():
    with twin() as plc:
        assert "[66]: \t0" in mbpoll(plc.port, "-a", "1", "-t", "4", "-r", "64", "-c", "8")
        mbpoll(plc.port, "-a", "1", "-t", "4", "-r", "40", "--", "4711")
        assert "4711" in mbpoll(plc.port, "-a", "1", "-t", "4", "-r", "40")
        mbpoll(plc.port, "-a", "1", "-t", "0", "-r", "5", "--", "1")
        assert "[5]: \t1" in mbpoll(plc.port, "-a", "1", "-t", "0", "-r", "5")


def test_mbpoll_is_told_by_the_twin_what_it_does_not_have():
    need("mbpoll")
    with twin() as plc:
        command = ["mbpoll", "-m", "tcp", "-p", str(plc.port), "-0", "-1", "-q", "-r", "250", "-c", "10"]
        done = subprocess.run(
            [*command, "127.0.0.1"], capture_output=True, text=True, timeout=10, check=False
        )
    assert "Illegal data address" in done.stdout + done.stderr
