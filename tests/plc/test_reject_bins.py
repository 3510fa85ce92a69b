"""The bin that a decision rule chose reaches the PLC in the verdict record."""

from types import SimpleNamespace

import pytest

from edge._core import PlcResult, Reason, Verdict, now_ns
from edge.conveyor.settings import ConveyorSettings
from edge.conveyor.speed import FixedBelt
from edge.plc.registers import VERDICT, decode
from edge.plc.settings import PlcSettings
from edge.plc.writer import Decision, VerdictWriter


@pytest.mark.parametrize(("verdict", "expected"), [(Verdict.REJECT, 3 << 8 | 2), (Verdict.PASS, 2)])
def test_bin_and_class_share_a_register(verdict: Verdict, expected: int) -> None:
    written: list[list[int]] = []

    def write(address: int, values: list[int], deadline_ns: int) -> SimpleNamespace:
        written.append(values)
        return SimpleNamespace(result=PlcResult.ACKED, sent_ns=1, ack_ns=2, acked=True)

    now = now_ns()
    entry = SimpleNamespace(
        verdict=verdict,
        reason=Reason.NONE,
        deadline_ns=now + 10**9,
        received_ns=now,
        class_id=2,
        confidence=0.9,
        bin=3,
    )
    writer = VerdictWriter(
        SimpleNamespace(write_registers=write),  # type: ignore[arg-type]
        PlcSettings(),
        FixedBelt(ConveyorSettings()),
        10.0,
    )
    part = SimpleNamespace(part_id=5, position_mm=0.0, encoder_count=0)
    writer.write(part, Decision.of(entry, now))  # type: ignore[arg-type]
    assert decode(VERDICT, written[0])["class_id"] == expected
