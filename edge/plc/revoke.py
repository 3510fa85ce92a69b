"""Verdicts that the PLC may not have, or not as they stand.

Parts that a process before this one left open get theirs, a reject. And in tracked mode, where the PLC acts on a
verdict whose acknowledgement was lost, passes are taken back.

Whether such a pass was taken, nobody knows; the record calls the part a reject, so the PLC must hear that before the
part is at the nozzle, or hear nothing at all. So a reject for the same sequence is the first thing that is written on
a link that works again, and until it is acknowledged no heartbeat is: two periods after the last one the PLC diverts.
A pass that is still on its way in an old connection comes after or before the reject; in both orders the reject holds.
"""

from dataclasses import dataclass

from edge._core import PlcResult, Reason, Verdict
from edge.conveyor.tracking import Part
from edge.plc.writer import Decision, Outcome, VerdictWriter

FORGET_NS = 60_000_000_000
"""A part that stands on a stopped belt is tried for so long; then the watchdog has long held the diverter."""


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A part, and until when its verdict must be taken back."""

    part: Part
    decision: Decision
    until_ns: int


class Revocations:
    """Empty nearly always. ``active``: in tracked mode, where passes are taken back."""

    def __init__(self, writer: VerdictWriter, *, active: bool) -> None:
        self._writer = writer
        self._active = active
        self._doubtful: dict[int, Doubtful] = {}
        self.done = 0

    def __bool__(self) -> bool:
        return bool(self._doubtful)

    def settled(self, part: Part, decision: Decision, outcome: Outcome, now_ns: int) -> None:
        """A verdict was written; notes it when the PLC may have taken a pass that does not stand."""
        if not self._active or decision.verdict is Verdict.REJECT or outcome.verdict is not Verdict.REJECT:
            return
        self.add(part, outcome.reason, now_ns)

    def add(self, part: Part, reason: Reason, now_ns: int) -> None:
        """The PLC may hold a pass for this part, or nothing."""
        reject = Decision(Verdict.REJECT, reason, now_ns)
        self._doubtful[part.part_id] = Doubtful(part, reject, now_ns + FORGET_NS)

    def write(self, now_ns: int) -> bool:
        """Takes back what it can; True when nothing is left and the heartbeat may go on."""
        for part_id, doubtful in list(self._doubtful.items()):
            outcome = self._writer.write(doubtful.part, doubtful.decision)
            if outcome.result in {PlcResult.ACKED, PlcResult.LATE}:
                self.done += 1
                del self._doubtful[part_id]
            elif now_ns > doubtful.until_ns:
                del self._doubtful[part_id]
            else:
                return False
        return True
