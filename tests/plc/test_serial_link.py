"""Modbus RTU over a pty pair: against a slave on libmodbus, and against one that misbehaves byte by byte."""

import os
import threading
import time
from pathlib import Path

import pytest
from pydantic import ValidationError
from pymodbus.framer.rtu import FramerRTU

from edge._core import PlcResult
from edge.plc.link import LinkState
from edge.plc.serial_link import ModbusRtuLink
from edge.plc.settings import PlcSettings
from tests.peers.libmodbus_plc import libmodbus_plc
from tests.plc.line_rig import until
from tests.plc.pty_pair import PtyPair, pty_pair

MS = 1_000_000


def link_on(pair: PtyPair, *, timeout_ms: float = 50, **changes: object) -> ModbusRtuLink:
    serial = {"port": str(pair.ours), "silence_ms": 40, **changes}
    return ModbusRtuLink(
        PlcSettings.model_validate({"kind": "rtu", "serial": serial, "timeout_ms": timeout_ms})
    )


def opened(link: ModbusRtuLink) -> bool:
    link.service(time.monotonic_ns())
    return link.is_open


def soon(ms: float = 200) -> int:
    return time.monotonic_ns() + int(ms * MS)


def with_crc(frame: bytes) -> bytes:
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


class FaultySlave:
    """Answers with what ``reply`` makes of a request; None: nothing."""

    def __init__(self, device: Path, reply) -> None:
        self.reply = reply
        self.requests: list[bytes] = []
        self._fd = os.open(device, os.O_RDWR | os.O_NOCTTY)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 256)
            except OSError:
                return
            self.requests.append(data)
            for delay_s, chunk in self.reply(data) or ():
                time.sleep(delay_s)
                os.write(self._fd, chunk)


def proper(request: bytes) -> bytes:
    if request[1] in {3, 4}:
        count = request[5]
        return with_crc(bytes((request[0], request[1], 2 * count)) + bytes(2 * count))
    return with_crc(request[:6])


def test_a_slave_on_libmodbus_takes_and_gives(tmp_path):
    with pty_pair(tmp_path) as pair, libmodbus_plc(tmp_path, None, f"--rtu={pair.theirs}"):
        link = link_on(pair)
        until(lambda: opened(link))
        assert link.write_registers(100, [1, 2, 65535], soon()).acked
        assert link.read_registers(100, 3, soon()).registers == (1, 2, 65535)
        assert link.write_coil(3, True, soon()).acked
        assert link.read_coils(0, 5, soon()).registers == (0, 0, 0, 1, 0)
        refused = link.write_registers(300, [1], soon())
        assert (refused.result, refused.exception_code) == (PlcResult.REFUSED, 2)


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("whole", lambda answer: [(0, answer)]),
        ("in pieces", lambda answer: [(0.001, answer[:3]), (0.003, answer[3:])]),
        ("behind the noise of a late driver", lambda answer: [(0, b"\x00\xff" + answer)]),
    ],
)
def test_answers_as_adapters_deliver_them(tmp_path, kind, spoil):
    with pty_pair(tmp_path) as pair:
        FaultySlave(pair.theirs, lambda request: spoil(proper(request)))
        link = link_on(pair)
        until(lambda: opened(link))
        assert link.write_registers(0, [7, 8], soon()).acked
        assert link.write_coil(0, True, soon()).acked


def test_an_echo_is_no_answer_unless_it_is_expected(tmp_path):
    with pty_pair(tmp_path) as pair:
        slave = FaultySlave(pair.theirs, lambda request: [(0, request + proper(request))])
        link = link_on(pair, echo=True)
        until(lambda: opened(link))
        assert link.write_coil(0, True, soon()).acked
        slave.reply = lambda request: [(0, request)]
        # The echo of function 5 looks like its answer: with echo on it must not count as one.
        assert link.write_coil(0, True, soon(30)).result is PlcResult.TIMEOUT


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer[:-1] + bytes((answer[-1] ^ 1,)),
        lambda answer: b"\x02" + answer[1:],
        lambda answer: b"\xde\xad\xbe\xef" * 3,
        lambda answer: answer + b"\x00",
    ],
    ids=["checksum", "unit", "junk", "chatty"],
)
def test_an_answer_that_does_not_fit_is_no_acknowledgement(tmp_path, spoil):
    with pty_pair(tmp_path) as pair:
        slave = FaultySlave(pair.theirs, lambda request: [(0, proper(request))])
        link = link_on(pair)
        until(lambda: opened(link))
        slave.reply = lambda request: [(0, spoil(proper(request)))]
        assert link.write_registers(0, [1], soon()).result is PlcResult.DISCONNECTED
        assert not link.is_open
        slave.reply = lambda request: [(0, proper(request))]
        until(lambda: opened(link))
        assert link.write_registers(0, [1], soon()).acked


def test_a_late_answer_is_never_taken_for_the_next_one(tmp_path):
    with pty_pair(tmp_path) as pair:
        slave = FaultySlave(pair.theirs, lambda request: [(0, proper(request))])
        link = link_on(pair)
        until(lambda: opened(link))
        # The answer to the first write comes when the second has been sent, and the second is never taken.
        slave.reply = lambda request: (
            [(0.03, proper(request))] if request[1] == 16 else [(0, proper(request))]
        )
        assert link.write_registers(0, [1], soon(10)).result is PlcResult.TIMEOUT
        slave.reply = lambda request: [(0, proper(request))] if request[1] != 16 else None
        assert link.write_registers(0, [2], soon(10)).result is PlcResult.DISCONNECTED
        until(lambda: opened(link))
        assert link.write_registers(0, [3], soon(30)).result is PlcResult.TIMEOUT


def test_a_pulled_cable_is_a_loss_and_comes_back(tmp_path):
    with pty_pair(tmp_path) as pair, libmodbus_plc(tmp_path, None, f"--rtu={pair.theirs}"):
        link = link_on(pair)
        until(lambda: opened(link))
        pair.pull()
        assert link.write_registers(0, [1], soon(50)).result in {PlcResult.DISCONNECTED, PlcResult.TIMEOUT}
        for _ in range(20):
            assert not opened(link)
            time.sleep(0.005)
        assert link.state is LinkState.CLOSED
        pair.put()
        until(lambda: opened(link))
        assert link.write_registers(0, [1], soon()).acked
        assert link.opened == 2


def test_a_device_that_is_not_there_is_said(tmp_path):
    link = ModbusRtuLink(
        PlcSettings.model_validate({"kind": "rtu", "serial": {"port": str(tmp_path / "ttyUSB9")}})
    )
    assert not opened(link)
    assert "ttyUSB9" in link.last_error or "No such file" in link.last_error


def test_rtu_without_a_line_is_refused():
    with pytest.raises(ValidationError, match="serial is needed"):
        PlcSettings.model_validate({"kind": "rtu"})


def test_adapter_that_is_pulled_while_the_line_is_being_opened_is_a_lost_line(tmp_path):
    with pty_pair(tmp_path) as pair:
        link = link_on(pair)
        link.service(time.monotonic_ns())
        assert link.state is LinkState.CONNECTING
        pair.pull()
        until(lambda: link.service(time.monotonic_ns()) > 0 and link.state is LinkState.CLOSED)
        assert link.last_error
