"""The twin PLC as a master sees it."""

import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge._core import Reason, Verdict
from edge.plc.link import ModbusTcpLink
from edge.plc.registers import (
    HANDSHAKE,
    PLC,
    STATUS,
    VERDICT,
    HandshakeBit,
    PlcMode,
    StatusBit,
    decode,
    encode,
)
from edge.plc.settings import PlcSettings
from tests.plc.line_rig import make_world, twin, until
from tools.twin.modbus import ModbusServer
from tools.twin.plc import BELT_START_NS, EJECTOR_COIL, HANDSHAKE_BASE, TwinPlc, VerdictQueue
from tools.twin.world import BIN_GOOD, BIN_REJECT, BIN_UNKNOWN, World

MS = 1_000_000
SECOND = 1_000 * MS


def request(port: int, frame: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(frame)
        return sock.recv(300)


def test_port_in_use_is_a_clear_error_and_no_zombie():
    with twin() as plc:
        command = [sys.executable, "-m", "tools.twin", "plc", "--port", str(plc.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert str(plc.port) in done.stderr
    assert "already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_command_names_the_known_ones():
    done = subprocess.run(
        [sys.executable, "-m", "tools.twin", "plcc"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "camera|gige|line|plc|sheet" in done.stderr


def test_plc_without_a_world_serves_and_its_belt_runs():
    with twin() as plc:
        link = ModbusTcpLink(PlcSettings(port=plc.port))
        until(lambda: link.service(time.monotonic_ns()) > 0 and link.is_open)

        def read() -> dict[str, int]:
            return decode(PLC, link.read_registers(64, PLC.words, time.monotonic_ns() + SECOND).registers)

        first = read()
        assert first["speed"] == 1200
        until(lambda: read()["encoder"] > first["encoder"] + 100)


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (b"\x2b\x0e\x01\x00", 1),
        (struct.pack(">BHH", 3, 250, 10), 2),
        (struct.pack(">BHH", 3, 0, 0), 3),
        (struct.pack(">BHH", 3, 0, 126), 3),
        (struct.pack(">BHH", 1, 60, 10), 2),
        (struct.pack(">BHH", 5, 0, 0x1234), 3),
        (struct.pack(">BHHB", 16, 0, 2, 4) + b"\0\0", 3),
        (struct.pack(">BHHB", 16, 255, 2, 4) + b"\0\0\0\0", 2),
        (struct.pack(">BH", 6, 1), 3),
    ],
)
def test_request_that_cannot_be_served_gets_its_exception(twin_port, pdu, code):
    reply = request(twin_port, struct.pack(">HHHB", 9, 0, len(pdu) + 1, 1) + pdu)
    assert reply == struct.pack(">HHHBBB", 9, 0, 3, 1, pdu[0] | 0x80, code)


@pytest.fixture(scope="module")
def twin_port():
    with twin() as plc:
        yield plc.port


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    junk=st.one_of(
        st.binary(min_size=1, max_size=300),
        st.binary(max_size=40).map(lambda b: struct.pack(">HHHB", 1, 0, len(b) + 1, 1) + b),
    )
)
def test_garbage_ends_at_worst_the_connection(twin_port, junk):
    with socket.create_connection(("127.0.0.1", twin_port), timeout=5) as sock:
        sock.sendall(junk)
    read = struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, 64, 1)
    assert request(twin_port, read)[:9] == struct.pack(">HHHBBB", 7, 0, 5, 1, 3, 2)


class Master:
    """Writes into a PLC program without a socket, at times of our own."""

    def __init__(self, plc: TwinPlc) -> None:
        self.plc = plc
        self._beat = 0

    def beat(self, now_ns: int) -> None:
        self._beat += 1
        values = {r.name: 0 for r in STATUS.registers}
        values |= {"heartbeat": self._beat, "heartbeat_period_ms": 50, "status_bits": StatusBit.READY}
        self._registers(0, encode(STATUS, values), now_ns)

    def lease(self, now_ns: int, clear_until: int) -> None:
        values = dict.fromkeys((register.name for register in HANDSHAKE.registers), 0)
        values |= {"handshake_bits": HandshakeBit.LEASE, "clear_until": clear_until & 0xFFFFFFFF}
        self._registers(HANDSHAKE_BASE, encode(HANDSHAKE, values), now_ns)

    def verdict(
        self, part_id: int, verdict: int, now_ns: int, valid_until: int = 2**30, **changes: int
    ) -> None:
        values = {r.name: 0 for r in VERDICT.registers}
        values |= {"sequence": part_id, "commit": part_id, "verdict": verdict, "valid_until": valid_until}
        self._registers(32, encode(VERDICT, values | changes), now_ns)

    def coil(self, on: bool, now_ns: int) -> None:
        self.plc.coils[EJECTOR_COIL] = on
        self.plc.wrote_coils(now_ns)

    def _registers(self, address: int, words: list[int], now_ns: int) -> None:
        self.plc.registers[address : address + len(words)] = words
        self.plc.wrote_registers(address, len(words), now_ns)


T0 = 10 * SECOND


def running(tmp_path, mode: PlcMode, parts: int = 8) -> tuple[World, Master]:
    world = make_world(tmp_path, parts, "1.0")
    master = Master(TwinPlc(world, mode, 8.0, T0))
    master.beat(T0)
    assert not world.running
    master.beat(T0 + 20 * MS)
    assert world.start_ns == T0 + 20 * MS + BELT_START_NS
    return world, master


def crossing_ns(world: World, part_id: int) -> int:
    return world.time_at_ns(float(world.parts["position_mm"][part_id - 1]) + world.camera_to_ejector_mm)


def beat_until(master: Master, from_ns: int, to_ns: int) -> None:
    for now_ns in range(from_ns, to_ns, 50 * MS):
        master.beat(now_ns)


def test_part_is_ejected_when_air_is_there_as_its_centre_crosses(tmp_path):
    world, master = running(tmp_path, PlcMode.PULSE)
    when_ns = [crossing_ns(world, part_id) for part_id in range(1, 5)]
    beat_until(master, T0 + 20 * MS, when_ns[0])
    # (on, off) before the crossing in µs; the valve answers 8 ms after the coil.
    spans = [(8_001, 7_000), (7_999, 7_000), (30_000, 8_001), (30_000, 7_999)]
    for when, (on_us, off_us) in zip(when_ns, spans, strict=True):
        master.beat(when - 40 * MS)
        master.coil(True, when - on_us * 1000)
        master.coil(False, when - off_us * 1000)
        master.beat(when)
    master.plc.scan(when_ns[3])
    assert list(world.parts["bin"][:4]) == [BIN_REJECT, BIN_GOOD, BIN_GOOD, BIN_REJECT]
    assert list(world.parts["crossing_ns"][:4]) == when_ns


def test_lease_ends_in_time_though_the_process_was_held_up(tmp_path):
    world, master = running(tmp_path, PlcMode.PULSE)
    when = crossing_ns(world, 1)
    beat_until(master, T0 + 20 * MS, when - 60 * MS)
    # Runs out 20 ms before the part crosses: one scan and the valve's 8 ms later there is air.
    master.lease(when - 60 * MS, world.encoder_count(when - 20 * MS))
    master.beat(when - 60 * MS)
    # Nothing ran until now; the runtime's lease for the time after the part is what is found first.
    master.lease(when + 4 * MS, world.encoder_count(when + SECOND))
    assert world.parts["bin"][0] == BIN_REJECT


def test_heartbeat_that_stops_diverts_after_two_periods(tmp_path):
    world, master = running(tmp_path, PlcMode.PULSE)
    last_ns = crossing_ns(world, 2) - 100 * MS
    beat_until(master, T0 + 20 * MS, last_ns)
    master.beat(last_ns)
    master.plc.scan(last_ns + SECOND)
    assert list(world.parts["bin"][:3]) == [BIN_GOOD, BIN_GOOD, BIN_REJECT]


def test_heartbeat_that_stands_still_is_none(tmp_path):
    world = make_world(tmp_path, 2)
    master = Master(TwinPlc(world, PlcMode.PULSE, 8.0, T0))
    for step in range(5):
        master._beat = 7
        master.beat(T0 + step * 50 * MS)
    assert not world.running


def test_tracked_mode_passes_only_timely_passes(tmp_path):
    world, master = running(tmp_path, PlcMode.TRACKED)
    end_ns = crossing_ns(world, 6)
    beat_until(master, T0 + 20 * MS, crossing_ns(world, 1) - 60 * MS)
    now_ns = crossing_ns(world, 1) - 60 * MS
    count = world.encoder_count(now_ns)
    master.verdict(1, 1, now_ns)
    master.verdict(2, 2, now_ns)
    master.verdict(4, 1, now_ns, valid_until=count - 1)
    master.verdict(5, 1, now_ns, commit=6)
    master.verdict(6, 1, now_ns, valid_until=count)
    master.verdict(99, 1, now_ns)
    beat_until(master, now_ns, end_ns + 50 * MS)
    assert list(world.parts["bin"][:6]) == [1, 2, 2, 2, 2, 1]
    assert list(world.parts["verdict_count"][:6]) == [1, 1, 0, 1, 0, 1]
    assert list(world.parts["late"][:6]) == [0, 0, 0, 1, 0, 0]


def test_second_verdict_is_counted_and_a_reject_stays(tmp_path):
    world, master = running(tmp_path, PlcMode.TRACKED)
    for verdict in (2, 1):
        master.verdict(1, verdict, T0 + 50 * MS)
    assert (world.parts["verdict_count"][0], world.parts["verdict"][0]) == (2, 2)


@pytest.mark.parametrize(
    ("before", "reason", "bin_", "counted"),
    [
        (Verdict.PASS, Reason.PLC_SILENT, BIN_UNKNOWN, 1),
        (Verdict.PASS, Reason.PLC_SILENT, BIN_REJECT, 1),
        (Verdict.PASS, Reason.PLC_SILENT, BIN_GOOD, 2),
        (Verdict.REJECT, Reason.PLC_SILENT, BIN_REJECT, 1),
        (Verdict.REJECT, Reason.TRACKING, BIN_UNKNOWN, 2),
    ],
)
def test_a_reject_told_after_a_restart_is_no_second_verdict_unless_it_comes_too_late(
    tmp_path, before, reason, bin_, counted
):
    world = make_world(tmp_path, 2)
    queue = VerdictQueue(world)
    first = {"sequence": 1, "commit": 1, "verdict": before, "reason": Reason.NONE, "valid_until": 0}
    queue.record(first, T0)
    world.parts["bin"][0] = bin_
    queue.record(first | {"verdict": Verdict.REJECT, "reason": reason}, T0)
    assert (world.parts["verdict_count"][0], queue.duplicates) == (counted, counted - 1)
    assert world.parts["verdict"][0] == Verdict.REJECT


def test_parts_that_crossed_while_the_plc_was_off_are_in_the_reject_bin(tmp_path):
    world, master = running(tmp_path, PlcMode.PULSE)
    beat_until(master, T0 + 20 * MS, crossing_ns(world, 1) + 10 * MS)
    master.plc.scan(crossing_ns(world, 1) + 10 * MS)
    again_ns = crossing_ns(world, 4) + 10 * MS
    restarted = Master(TwinPlc(world, PlcMode.PULSE, 8.0, again_ns))
    restarted.beat(again_ns)
    restarted.beat(again_ns + 10 * MS)
    beat_until(restarted, again_ns + 20 * MS, crossing_ns(world, 5) + 50 * MS)
    assert list(world.parts["bin"][:5]) == [BIN_GOOD, BIN_REJECT, BIN_REJECT, BIN_REJECT, BIN_GOOD]


def test_server_drops_a_master_that_no_longer_reads():
    plc = TwinPlc(None, PlcMode.PULSE, 8.0, 0)
    server = ModbusServer(plc, "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.setblocking(False)
        frames = struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, 0, 125) * 300
        server.step(1)
        assert server.masters == 1
        end = time.monotonic() + 20
        while server.masters and time.monotonic() < end:
            with suppress(OSError):
                sock.send(frames)
            server.step(0.001)
        assert server.masters == 0
    server.close()
