"""The shift register: every part between the camera and the ejector, rejected until proven otherwise."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edge._core import Reason, Verdict
from edge.conveyor.speed import MM_PER_NS, Belt

FAR_NS = 1_000_000_000
"""How long a belt that stands still is believed to; it is asked again after that."""


@dataclass(slots=True)
class Part:
    """One part on its way. It passes only when its PASS was acknowledged in time."""

    part_id: int
    encoder_count: int
    triggered_ns: int
    position_mm: float
    """Belt travel at its trigger."""
    verdict: Verdict = Verdict.REJECT
    reason: Reason = Reason.NO_VERDICT
    final: bool = False

    @property
    def passes(self) -> bool:
        """True only for a final PASS."""
        return self.final and self.verdict is Verdict.PASS


@dataclass(frozen=True, slots=True)
class Nozzle:
    """Where and when the ejector acts."""

    distance_mm: float
    """From the part sensor."""
    pulse_mm: float
    lead_ns: int


class ShiftRegister:
    """Parts in belt order. Bounded: what does not fit is refused, and the caller counts it as rejected."""

    def __init__(self, belt: Belt, nozzle: Nozzle, capacity: int = 1024) -> None:
        self._belt = belt
        self._nozzle = nozzle
        self._capacity = capacity
        self._parts: dict[int, Part] = {}
        self._blind_until_mm = -math.inf
        self.ended = 0

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts.values())

    def start_blind(self, now_ns: int) -> None:
        """Parts are under way that nobody knows: all are rejected that may have passed the sensor by now."""
        self._blind_until_mm = self._belt.position_mm(now_ns) + self._nozzle.pulse_mm / 2

    def enter(self, part_id: int, encoder_count: int, stamp_ns: int) -> Part | None:
        """A part at its trigger, with the verdict reject. None when the register is full."""
        if len(self._parts) >= self._capacity:
            return None
        position_mm = self._belt.trigger_position_mm(encoder_count, stamp_ns)
        part = Part(part_id, encoder_count, stamp_ns, position_mm)
        self._parts[part_id] = part
        return part

    def get(self, part_id: int) -> Part | None:
        """The part, while it is tracked."""
        return self._parts.get(part_id)

    def settle(self, part: Part, verdict: Verdict, reason: Reason) -> None:
        """The final verdict, once: what the PLC has acknowledged, or a reject."""
        if not part.final:
            part.verdict, part.reason, part.final = verdict, reason, True

    def ejector_on(self, now_ns: int) -> bool:
        """Whether the coil must be on now, for air when a part that does not pass is in front."""
        centre_mm = self._at_nozzle(now_ns)
        half_mm = self._nozzle.pulse_mm / 2
        if centre_mm <= self._blind_until_mm or len(self._parts) >= self._capacity:
            return True
        return any(abs(centre_mm - part.position_mm) <= half_mm for part in self if not part.passes)

    def due_for_reject(self, now_ns: int, timeout_ns: int) -> list[Part]:
        """Parts whose verdict can no longer be awaited: timed out, or about to reach their pulse."""
        begin_mm = self._at_nozzle(now_ns) + self._nozzle.pulse_mm / 2
        return [
            part
            for part in self
            if not part.final and (now_ns >= part.triggered_ns + timeout_ns or begin_mm >= part.position_mm)
        ]

    def retire(self, now_ns: int) -> int:
        """Takes out the parts that are past the ejector; returns how many."""
        end_mm = self._at_nozzle(now_ns) - self._nozzle.pulse_mm / 2
        past = [part.part_id for part in self if part.final and part.position_mm < end_mm]
        for part_id in past:
            del self._parts[part_id]
        self.ended += len(past)
        return len(past)

    def next_event_ns(self, now_ns: int, timeout_ns: int) -> int:
        """When the coil, or the wait for a verdict, is next to be looked at."""
        centre_mm = self._at_nozzle(now_ns)
        half_mm = self._nozzle.pulse_mm / 2
        edges_mm = [self._blind_until_mm]
        for part in self:
            edges_mm += (part.position_mm - half_mm, part.position_mm + half_mm)
        soonest_mm = min(
            (edge_mm - centre_mm for edge_mm in edges_mm if edge_mm > centre_mm), default=math.inf
        )
        speed_m_per_s = self._belt.speed_m_per_s
        event_ns = now_ns + FAR_NS
        if 0 < soonest_mm < FAR_NS * MM_PER_NS * speed_m_per_s:
            # One µs further: the edge must lie behind us when we look.
            event_ns = now_ns + int(soonest_mm / (MM_PER_NS * speed_m_per_s)) + 1000
        waits = (part.triggered_ns + timeout_ns for part in self if not part.final)
        return max(now_ns, min([event_ns, *waits]))

    def _at_nozzle(self, now_ns: int) -> float:
        """Trigger position of a part whose centre meets the air of a coil that is written now."""
        return self._belt.position_mm(now_ns + self._nozzle.lead_ns) - self._nozzle.distance_mm
