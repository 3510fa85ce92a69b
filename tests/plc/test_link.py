import socket
import time

import pytest

from edge._core import PlcResult
from edge.errors import PlcError
from edge.plc.link import LinkState, ModbusTcpLink
from edge.plc.settings import PlcSettings
from tests.plc.faulty_plc import FaultyPlc

MS = 1_000_000


def settings(port: int, **changes) -> PlcSettings:
    return PlcSettings(kind="tcp", port=port, **changes)


def in_ms(milliseconds: float) -> int:
    return time.monotonic_ns() + int(milliseconds * MS)


def open_link(plc: FaultyPlc, **changes) -> ModbusTcpLink:
    """Opened while the PLC still answers; what it did meanwhile is forgotten."""
    behaviour, plc.behaviour = plc.behaviour, "answer"
    link = ModbusTcpLink(settings(plc.port, **changes))
    reopen(link)
    plc.behaviour = behaviour
    plc.requests.clear()
    return link


def reopen(link: ModbusTcpLink) -> None:
    until = in_ms(5000)
    while not link.is_open and time.monotonic_ns() < until:
        link.service(time.monotonic_ns())
        time.sleep(0.001)
    assert link.is_open, link.last_error


def test_registers_and_coils_arrive_and_come_back():
    with FaultyPlc() as plc:
        link = open_link(plc)
        written = link.write_registers(32, [1, 2, 65535], in_ms(1000))
        assert written.acked
        assert written.ack_ns >= written.sent_ns
        assert plc.registers[32:35] == [1, 2, 65535]
        assert link.write_coil(3, True, in_ms(1000)).acked
        assert plc.coils[3]
        assert link.read_registers(33, 2, in_ms(1000)).registers == (2, 65535)


def test_one_request_is_one_frame_and_is_never_repeated():
    with FaultyPlc("mute") as plc:
        link = open_link(plc)
        assert link.write_registers(32, [7] * 12, in_ms(30)).result is PlcResult.TIMEOUT
        plc.behaviour = "answer"
        reopen(link)
        assert [function for _, function, _ in plc.requests] == [16, 3], "the second is the greeting"


@pytest.mark.parametrize("behaviour", ["mute", "truncated"])
def test_a_plc_that_does_not_answer_costs_the_time_allowed_and_no_more(behaviour):
    with FaultyPlc(behaviour) as plc:
        link = open_link(plc)
        deadline_ns = in_ms(30)
        reply = link.write_registers(0, [1], deadline_ns)
        assert reply.result is PlcResult.TIMEOUT
        assert reply.ack_ns == 0
        # Generous, and still far from the seconds that a hidden retry would take.
        assert time.monotonic_ns() < deadline_ns + 500 * MS
        assert link.state is LinkState.CLOSED


@pytest.mark.parametrize("behaviour", ["garbage", "wrong_transaction", "wrong_unit", "wrong_echo", "chatty"])
def test_an_answer_that_does_not_fit_is_no_acknowledgement(behaviour):
    with FaultyPlc(behaviour) as plc:
        link = open_link(plc)
        assert link.write_registers(32, [1], in_ms(1000)).result is PlcResult.DISCONNECTED
        assert "answer" in link.last_error
        plc.behaviour = "answer"
        reopen(link)
        assert link.write_registers(32, [2], in_ms(1000)).acked


@pytest.mark.parametrize("behaviour", ["close", "reset"])
def test_a_plc_that_hangs_up_is_noticed_at_once(behaviour):
    with FaultyPlc(behaviour) as plc:
        link = open_link(plc)
        assert link.write_registers(32, [1], in_ms(1000)).result is PlcResult.DISCONNECTED
        assert link.state is LinkState.CLOSED


def test_a_late_answer_is_never_taken_for_the_next_one():
    with FaultyPlc("slow", delay_s=0.08) as plc:
        link = open_link(plc)
        plc.registers[0] = 111
        assert link.read_registers(0, 1, in_ms(20)).result is PlcResult.TIMEOUT
        plc.registers[0] = 222
        plc.behaviour = "answer"
        reopen(link)
        for _ in range(20):
            assert link.read_registers(0, 1, in_ms(1000)).registers == (222,)
            time.sleep(0.01)


def test_an_exception_reply_is_a_result_and_keeps_the_connection():
    with FaultyPlc("exception") as plc:
        link = open_link(plc)
        reply = link.write_registers(32, [1], in_ms(1000))
        assert reply.result is PlcResult.REFUSED
        assert reply.exception_code == 4
        plc.behaviour = "answer"
        assert link.write_registers(32, [1], in_ms(1000)).acked
        assert plc.connections == 1


def test_an_answer_in_single_bytes_is_put_together():
    with FaultyPlc("split") as plc:
        link = open_link(plc)
        plc.registers[5] = 77
        assert link.read_registers(5, 1, in_ms(1000)).registers == (77,)


def test_a_connection_that_the_plc_dropped_while_idle_is_not_written_into():
    with FaultyPlc() as plc:
        link = open_link(plc)
        assert link.write_registers(0, [1], in_ms(1000)).acked
        seen = len(plc.requests)
        plc.hang_up()
        time.sleep(0.05)
        assert link.write_registers(0, [2], in_ms(1000)).result is PlcResult.DISCONNECTED
        assert len(plc.requests) == seen
        assert "closed" in link.last_error


@pytest.mark.parametrize("behaviour", ["mute", "garbage", "wrong_unit", "close", "reset"])
def test_a_connection_without_a_sensible_first_answer_is_none(behaviour):
    with FaultyPlc(behaviour) as plc:
        link = ModbusTcpLink(settings(plc.port, connect_timeout_ms=30))
        until = in_ms(5000)
        while plc.connections < 3 and time.monotonic_ns() < until:
            link.service(time.monotonic_ns())
            assert not link.is_open
            time.sleep(0.001)
        assert plc.connections == 3
        assert link.last_error
        plc.behaviour = "exception"  # a refusal is an answer too
        reopen(link)
        assert link.opened == 1


def test_the_first_answer_of_a_connection_may_take_longer_than_the_others_and_nothing_waits_for_it():
    with FaultyPlc("slow", delay_s=0.1) as plc:
        link = ModbusTcpLink(settings(plc.port, connect_timeout_ms=5000, timeout_ms=20))
        longest_ns, until = 0, in_ms(5000)
        while not link.is_open and time.monotonic_ns() < until:
            began = time.monotonic_ns()
            link.service(began)
            longest_ns = max(longest_ns, time.monotonic_ns() - began)
            time.sleep(0.001)
        assert link.is_open
        assert plc.connections == 1
        assert longest_ns < 100 * MS


def test_a_link_that_is_not_open_answers_at_once():
    link = ModbusTcpLink(settings(1))
    assert link.write_coil(0, True, in_ms(1000)).result is PlcResult.DISCONNECTED


def test_a_plc_that_is_not_there_is_found_when_it_appears():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    link = ModbusTcpLink(settings(port))
    until = in_ms(100)
    while time.monotonic_ns() < until:
        link.service(time.monotonic_ns())
        time.sleep(0.002)
    assert not link.is_open
    assert "refused" in link.last_error
    with FaultyPlc(port=port):
        reopen(link)
        assert link.write_registers(0, [1], in_ms(1000)).acked


def test_an_address_that_swallows_the_connection_is_given_up_without_waiting_in_service():
    # A listener whose queue is full drops every further SYN, as an unplugged PLC does.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        link = ModbusTcpLink(settings(listener.getsockname()[1], connect_timeout_ms=50))
        until = in_ms(3000)
        longest_ns = 0
        while "within 50 ms" not in link.last_error and time.monotonic_ns() < until:
            began = time.monotonic_ns()
            link.service(began)
            longest_ns = max(longest_ns, time.monotonic_ns() - began)
            time.sleep(0.002)
        for filler in fillers:
            filler.close()
        assert "within 50 ms" in link.last_error
        assert longest_ns < 50 * MS


def test_the_pause_between_attempts_grows_to_its_limit_and_a_good_answer_resets_it():
    link = ModbusTcpLink(settings(1, reconnect_max_ms=40))
    pauses = []
    for _ in range(5):
        now = time.monotonic_ns()
        link.close()
        pauses.append(round((link.service(now) - now) / MS))
    assert pauses == [0, 10, 20, 40, 40] or pauses[1:] == [10, 20, 40, 40]
    link.confirm()
    link.close()
    assert link.service(0) <= time.monotonic_ns()


def test_a_name_that_does_not_resolve_is_a_clear_error():
    with pytest.raises(PlcError, match=r"plc\.host is 'no such plc'"):
        ModbusTcpLink(PlcSettings(host="no such plc", port=502))


def test_other_function_codes(tmp_path):
    from tests.peers.libmodbus_plc import libmodbus_plc

    with libmodbus_plc(tmp_path) as plc:
        link = ModbusTcpLink(settings(plc.port, coil_function=15))
        reopen(link)
        assert link.write_coil(3, True, in_ms(1000)).acked
        assert link.read_coils(2, 3, in_ms(1000)).registers == (0, 1, 0)
        assert link.write_coil(3, False, in_ms(1000)).acked
        assert link.read_coils(3, 1, in_ms(1000)).registers == (0,)
        inputs = ModbusTcpLink(settings(plc.port, read_function=4))
        reopen(inputs)
        # This PLC has no input registers: the refusal shows which function was asked for.
        assert inputs.read_registers(64, 8, in_ms(1000)).result is PlcResult.REFUSED
