import struct
import time

import pytest
from pydantic import ValidationError

from edge._core import PlcResult
from edge.plc.connect import make_link
from edge.plc.registers import VERDICT, closing_words
from edge.plc.settings import PlcSettings
from tests.plc.faulty_plc import FaultyPlc
from tests.plc.line_rig import until


def soon() -> int:
    return time.monotonic_ns() + 1_000_000_000


def opened(port: int, **changes):
    link = make_link(PlcSettings(kind="tcp", port=port, **changes))

    def is_open() -> bool:
        link.service(time.monotonic_ns())
        return link.is_open

    until(is_open)
    return link


def asked(plc: FaultyPlc) -> list[tuple[int, int]]:
    """(function, address) of every request after the greeting."""
    return [(function, struct.unpack(">H", data[:2])[0]) for _, function, data in plc.requests[1:]]


def test_word_by_word_and_what_makes_the_record_whole_last():
    with FaultyPlc() as plc:
        link = opened(plc.port, write_function=6, mode="tracked")
        assert link.write_registers(32, list(range(1, 13)), soon()).acked
        assert link.write_registers(0, list(range(101, 117)), soon()).acked
    assert plc.registers[32:44] == list(range(1, 13))
    assert plc.registers[:16] == list(range(101, 117))
    assert asked(plc)[:12] == [(6, 32 + i) for i in range(VERDICT.words)]
    assert [address for _, address in asked(plc)[12:]] == [0, *range(2, 16), 1]


def test_the_first_word_that_fails_ends_the_block():
    with FaultyPlc("exception") as plc:
        link = opened(plc.port, write_function=6, mode="tracked")
        reply = link.write_registers(32, [1] * 12, soon())
        assert reply.result is PlcResult.REFUSED
        assert reply.exception_code == 4
        assert reply.sent_ns > 0
        assert len(asked(plc)) == 1


def test_one_deadline_for_all_words():
    with FaultyPlc("slow", delay_s=0.05) as plc:
        link = opened(plc.port, write_function=6, mode="tracked")
        deadline_ns = time.monotonic_ns() + 120_000_000
        assert link.write_registers(32, [1] * 12, deadline_ns).result is PlcResult.TIMEOUT
        assert 1 < len(asked(plc)) < 12


def test_an_ejector_that_is_a_register():
    with FaultyPlc() as plc:
        link = opened(plc.port, coil_function=16, ejector={"coil": 100})
        assert link.write_coil(100, True, soon()).acked
        assert plc.registers[100] == 1
        plc.registers[100] = 0x0100
        assert link.read_coils(100, 1, soon()).registers == (1,)
        assert link.write_coil(100, False, soon()).acked
        assert link.read_coils(100, 1, soon()).registers == (0,)
    assert {function for function, _ in asked(plc)} == {16, 3}


def test_closing_words_follow_the_bases():
    assert closing_words(200, 300) == {201, 311}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"write_function": 6, "handshake": True}, "a lease .* of which one half is old"),
        ({"write_function": 6}, "mode is 'pulse', but write_function 6 allows no lease"),
        ({"coil_function": 16}, "ejector coil 0 a register, and that one is in block status"),
        ({"coil_function": 16, "ejector": {"coil": 43}}, "block verdict .32 to 43.; expected a register"),
    ],
)
def test_habits_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        PlcSettings(kind="tcp", **changes)
