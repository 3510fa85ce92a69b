"""Verdict records: each part's one write to the PLC, and what finally holds for the part."""

from dataclasses import dataclass

from edge._core import PlcResult, Reason, Verdict, VerdictEntry, now_ns
from edge.conveyor.speed import Belt
from edge.conveyor.tracking import Part
from edge.plc.link import Link, Reply
from edge.plc.registers import U32_MASK, VERDICT, encode
from edge.plc.round_trips import RoundTrips
from edge.plc.settings import PlcSettings

LATE_REJECT_NS = 5_000_000
"""A reject does no harm late, so each of its requests may still take this long when its deadline is past, or twice what
this PLC usually takes: given up, it would cost the connection."""

UNCONFIRMED_REASON = {PlcResult.LATE: Reason.OVERRUN}
"""Why a part is rejected whose verdict did not get through; PLC_SILENT otherwise."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be written about a part."""

    verdict: Verdict
    reason: Reason
    deadline_ns: int
    received_ns: int = 0
    class_id: int = 0
    confidence: float = 0.0
    bin: int = 0
    """Where a rejected part goes; 0: the ordinary reject bin."""

    @classmethod
    def of(cls, entry: VerdictEntry, now: int) -> "Decision":
        """The loop's verdict; one that is late already is a reject."""
        verdict, reason = entry.verdict, entry.reason
        if verdict is not Verdict.REJECT and now >= entry.deadline_ns:
            verdict, reason = Verdict.REJECT, Reason.OVERRUN
        return cls(
            verdict,
            reason,
            entry.deadline_ns,
            entry.received_ns,
            entry.class_id,
            entry.confidence,
            entry.bin if verdict is Verdict.REJECT else 0,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What finally holds for a part, for its record."""

    verdict: Verdict
    reason: Reason
    result: PlcResult
    sent_ns: int
    ack_ns: int


def settled(decision: Decision, reply: Reply, gated: bool) -> Outcome:
    """A part passes only by a write that was acknowledged in time.

    Without a gate (``gated`` False, no PLC on the line) there is nothing to confirm: the verdict stands, and the
    result says DISCONNECTED.
    """
    result = reply.result
    if result is PlcResult.ACKED and reply.ack_ns > decision.deadline_ns:
        result = PlcResult.LATE
    verdict, reason = decision.verdict, decision.reason
    if gated and verdict is not Verdict.REJECT and result is not PlcResult.ACKED:
        verdict, reason = Verdict.REJECT, UNCONFIRMED_REASON.get(result, Reason.PLC_SILENT)
    return Outcome(verdict, reason, result, reply.sent_ns, reply.ack_ns)


class VerdictWriter:
    """Writes verdict records as one request each, within what is left of the budget."""

    def __init__(self, link: Link, settings: PlcSettings, belt: Belt, counts_per_mm: float) -> None:
        self._link = link
        self._settings = settings
        self._belt = belt
        self._counts_per_mm = counts_per_mm
        self.round_trips = RoundTrips()
        self._gated = settings.kind != "none"
        self._late_reject_ns = LATE_REJECT_NS * (VERDICT.words if settings.write_function == 6 else 1)

    def measured(self, reply: Reply) -> None:
        """Adds the round trip of an acknowledged write."""
        if reply.acked:
            self.round_trips.add(reply.ack_ns - reply.sent_ns, reply.ack_ns)

    def write(self, part: Part, decision: Decision) -> Outcome:
        """Bounded by the deadline, and for a reject by at least ``LATE_REJECT_NS``. Does not raise."""
        now = now_ns()
        deadline_ns = decision.deadline_ns
        if decision.verdict is Verdict.REJECT:
            deadline_ns = max(deadline_ns, now + max(self._late_reject_ns, 2 * self.round_trips.p50_ns))
        deadline_ns = min(deadline_ns, now + int(self._settings.timeout_ms * 1e6))
        words = encode(VERDICT, self._values(part, decision, now), self._settings.word_order)
        reply = self._link.write_registers(self._settings.verdict_base, words, deadline_ns)
        self.measured(reply)
        return settled(decision, reply, self._gated)

    def rehearse(self, now: int) -> None:
        """Makes a request and sends it to nobody: what has not run for 60 ms runs ten times slower."""
        part = Part(0, 0, now, self._belt.position_mm(now))
        decision = Decision(Verdict.PASS, Reason.NONE, now, now)
        words = encode(VERDICT, self._values(part, decision, now), self._settings.word_order)
        self._link.rehearse(self._settings.verdict_base, words)

    def _values(self, part: Part, decision: Decision, now: int) -> dict[str, int]:
        sequence = part.part_id & U32_MASK
        # A pass is good until its deadline; a reject until the part has reached the nozzle.
        until_mm = self._belt.position_mm(decision.deadline_ns)
        if decision.verdict is Verdict.REJECT:
            until_mm = part.position_mm + self._settings.ejector.camera_to_ejector_mm
        latency = (now - decision.received_ns) // 10_000 if decision.received_ns else 0
        return {
            "sequence": sequence,
            "encoder_count": self._count(part, part.position_mm),
            "verdict": int(decision.verdict),
            "class_id": decision.bin << 8 | decision.class_id,
            "confidence": min(10_000, max(0, round(decision.confidence * 10_000))),
            "reason": int(decision.reason),
            "valid_until": self._count(part, until_mm),
            "latency": min(0xFFFF, max(0, latency)),
            "commit": sequence & 0xFFFF,
        }

    def _count(self, part: Part, position_mm: float) -> int:
        count = self._belt.encoder_count(position_mm)
        if count is None:
            count = part.encoder_count + round((position_mm - part.position_mm) * self._counts_per_mm)
        return count & U32_MASK
