"""Two addresses of one PLC, and bytes the wrong way round."""

import time
from contextlib import ExitStack

from edge._core import PlcResult
from edge.plc.connect import address_of, make_link
from edge.plc.link import Link
from edge.plc.settings import PlcSettings
from tests.plc.faulty_plc import FaultyPlc
from tests.plc.line_rig import until

PATIENT_NS = 1_000_000_000


def settings(port: int, standby: int | None = None, **changes: object) -> PlcSettings:
    second = {"standby": {"host": "127.0.0.1", "port": standby}} if standby else {}
    return PlcSettings.model_validate({"kind": "tcp", "port": port, **second, **changes})


def soon() -> int:
    return time.monotonic_ns() + 500_000_000


def serviced(link: Link) -> bool:
    link.service(time.monotonic_ns())
    return link.is_open


def written(plc: FaultyPlc) -> list[int]:
    return [transaction for transaction, function, _ in plc.requests if function == 16]


def acked(link: Link, within_ns: int = 20_000_000) -> bool:
    if not serviced(link):
        return False
    reply = link.write_registers(0, [1], time.monotonic_ns() + within_ns)
    if reply.acked:
        link.confirm()
    return reply.acked


def test_the_standby_takes_over_at_once_and_is_kept():
    # Whichever answers first is used, and a late answer makes the link turn to the standby, both rightly: so the
    # standby is mute until the first is in use, and a busy machine has time.
    with ExitStack() as power, FaultyPlc("mute") as second:
        first = power.enter_context(FaultyPlc())
        link = make_link(settings(first.port, second.port, timeout_ms=1_000.0, connect_timeout_ms=1_000.0))
        until(lambda: acked(link, PATIENT_NS))
        asked = len(second.requests)
        second.behaviour = "answer"
        until(lambda: serviced(link) and len(second.requests) > asked)
        assert not written(second)
        opened = link.opened
        power.close()
        until(lambda: acked(link, PATIENT_NS))
        assert written(second)
        assert link.opened > opened
        with FaultyPlc(port=first.port) as back:
            until(lambda: serviced(link) and back.connections == 1)
            assert acked(link, PATIENT_NS)
            assert not written(back), "the one that works is kept"


def test_an_address_that_connects_and_never_answers_is_left():
    with FaultyPlc("mute") as first, FaultyPlc() as second:
        link = make_link(settings(first.port, second.port))
        until(lambda: acked(link))
        assert written(second)


def test_both_gone_is_no_link_and_either_brings_it_back():
    with FaultyPlc() as first, FaultyPlc() as second:
        link = make_link(settings(first.port, second.port))
        until(lambda: acked(link))
    assert link.write_registers(0, [1], soon()).result is PlcResult.DISCONNECTED
    until(lambda: not acked(link) and not link.is_open)
    with FaultyPlc(port=second.port):
        until(lambda: acked(link))


def test_bytes_the_wrong_way_round():
    with FaultyPlc() as plc:
        link = make_link(settings(plc.port, byte_order="little"))
        until(lambda: serviced(link))
        assert link.write_registers(4, [0x1234], soon()).acked
        assert plc.registers[4] == 0x3412
        assert link.read_registers(4, 1, soon()).registers == (0x1234,)


def test_addresses_are_said():
    assert "standby 127.0.0.1:7" in address_of(settings(5, 7))
    rtu = PlcSettings.model_validate({"kind": "rtu", "serial": {"port": "/dev/ttyUSB0"}})
    assert address_of(rtu).startswith("/dev/ttyUSB0 at 115200 Bd")
