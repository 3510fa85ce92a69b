"""The shift register: every part between the camera and the ejector, rejected until proven otherwise."""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from edge._core import Reason, Verdict
from edge.conveyor.doubt import Doubt
from edge.conveyor.speed import MM_PER_NS, Belt

FAR_NS = 1_000_000_000
"""How long a belt that stands still is believed to; it is asked again after that."""

CAPACITY = 65_536
"""Parts under way; at a pitch of 10 mm that is 650 m of belt."""


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
    class_id: int = 0
    bin: int = 0

    @property
    def passes(self) -> bool:
        """True only for a final PASS."""
        return self.final and self.verdict is Verdict.PASS


@dataclass(frozen=True, slots=True)
class Nozzle:
    """Where and when an ejector acts."""

    distance_mm: float
    """From the part sensor."""
    pulse_mm: float
    lead_ns: int
    min_pulse_mm: float = 10.0
    """A pulse is cut short at the middle between a reject and a pass beside it, but not below this."""
    takes: frozenset[tuple[int, int]] | None = None
    """(bin, class id) of the rejects that it takes, -1 for any class; None: everything that does not pass."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """The last part whose pulse has begun, and the doubt about the belt at that moment."""

    position_mm: float
    slack_mm: float


_NOTHING = _Begun(-math.inf, 0.0)


class ShiftRegister:
    """Parts in belt order. Bounded: what does not fit is refused, and the caller counts it as rejected.

    ``sorters`` are further ejectors upstream of the main one, each for some classes of rejects. The main one fires
    for every part that does not pass, sorted out before or not: it alone carries the safety.
    """

    def __init__(
        self, belt: Belt, nozzle: Nozzle, capacity: int = CAPACITY, sorters: tuple[Nozzle, ...] = ()
    ) -> None:
        self._belt = belt
        self._nozzle = nozzle
        self._sorters = sorters
        self._capacity = capacity
        self._parts: dict[int, Part] = {}
        self._open: dict[int, Part] = {}
        # (position, part id), sorted: what is asked at every turn must not cost more with every part.
        self._order: list[tuple[float, int]] = []
        self._stopped: list[tuple[float, int]] = []
        self._blind_until_mm = -math.inf
        # The coil stays on when a new reading of the encoder says that the belt is not quite there yet: the lease
        # reaches beyond a part as soon as the coil is on for it.
        self._begun: dict[Nozzle, _Begun] = {}
        self.ended = 0

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts.values())

    @property
    def awaits_verdict(self) -> bool:
        """Whether there is a part without a final verdict."""
        return bool(self._open)

    def start_blind(self, now_ns: int) -> None:
        """Parts are under way that nobody knows: all are rejected that may have passed the sensor by now."""
        until_mm = self._belt.position_mm(now_ns) + self._nozzle.pulse_mm / 2
        self._blind_until_mm = max(self._blind_until_mm, until_mm)

    def blind_for(self, part: Part) -> bool:
        """Whether the part will be rejected whatever its verdict, because nobody knows where it is."""
        return self._belt.doubt is not Doubt.NONE or part.position_mm <= self._blind_until_mm

    def enter(self, part_id: int, encoder_count: int, stamp_ns: int) -> Part | None:
        """A part at its trigger, with the verdict reject. None when the register is full.

        A part that is there already stays as it is: its verdict may have been read before its trigger.
        """
        if part_id in self._parts:
            return self._parts[part_id]
        if len(self._parts) >= self._capacity:
            return None
        position_mm = self._belt.trigger_position_mm(encoder_count, stamp_ns)
        part = Part(part_id, encoder_count, stamp_ns, position_mm)
        self._parts[part_id] = self._open[part_id] = part
        insort(self._order, (position_mm, part_id))
        insort(self._stopped, (position_mm, part_id))
        return part

    def get(self, part_id: int) -> Part | None:
        """The part, while it is tracked."""
        return self._parts.get(part_id)

    def settle(
        self, part: Part, verdict: Verdict, reason: Reason, *, class_id: int = 0, bin_id: int = 0
    ) -> None:
        """The final verdict, once: what the PLC has acknowledged, or a reject."""
        if part.final:
            return
        part.verdict, part.reason, part.final = verdict, reason, True
        part.class_id, part.bin = class_id, bin_id
        self._open.pop(part.part_id, None)
        if part.passes:
            _remove(self._stopped, (part.position_mm, part.part_id))

    def ejector_on(self, now_ns: int) -> bool:
        """Whether the coil must be on now, for air when a part that does not pass is in front."""
        if self._belt.doubt is not Doubt.NONE:
            self.start_blind(now_ns)
        centre_mm = self._at(self._nozzle, now_ns)
        if centre_mm - self._belt.slack_mm <= self._blind_until_mm or len(self._parts) >= self._capacity:
            return True
        return self._fires(self._nozzle, centre_mm)

    def sorter_on(self, index: int, now_ns: int) -> bool:
        """The same for a sorter; it knows nothing of blindness, which is the main ejector's."""
        nozzle = self._sorters[index]
        return self._fires(nozzle, self._at(nozzle, now_ns))

    def due_for_reject(self, now_ns: int, timeout_ns: int) -> list[Part]:
        """Parts whose verdict can no longer be awaited: timed out, or about to reach their pulse."""
        begin_mm = self._at(self._nozzle, now_ns) + self._nozzle.pulse_mm / 2 + self._belt.slack_mm
        return [
            part
            for part in self._open.values()
            if now_ns >= part.triggered_ns + timeout_ns or begin_mm >= part.position_mm
        ]

    def retire(self, now_ns: int) -> list[Part]:
        """Takes out the parts that are certainly past the ejector, and returns them.

        While the encoder cannot be read nothing leaves: a belt that stood meanwhile still carries it.
        """
        centre_mm = self._belt.certain_mm(now_ns) - self._nozzle.distance_mm
        end_mm = centre_mm - self._nozzle.pulse_mm / 2
        past = [
            key for key in self._order[: bisect_left(self._order, (end_mm, 0))] if key[1] not in self._open
        ]
        parts = [self._parts.pop(key[1]) for key in past]
        for key, part in zip(past, parts, strict=True):
            _remove(self._order, key)
            if not part.passes:
                _remove(self._stopped, key)
        self.ended += len(past)
        return parts

    def next_event_ns(self, now_ns: int, timeout_ns: int) -> int:
        """When a coil, or the wait for a verdict, is next to be looked at."""
        soonest_mm = min(self._next_edge_mm(nozzle, now_ns) for nozzle in (self._nozzle, *self._sorters))
        speed_m_per_s = self._belt.speed_m_per_s
        event_ns = now_ns + FAR_NS
        if 0 < soonest_mm < FAR_NS * MM_PER_NS * speed_m_per_s:
            # One µs further: the edge must lie behind us when we look.
            event_ns = now_ns + int(soonest_mm / (MM_PER_NS * speed_m_per_s)) + 1000
        waits = (part.triggered_ns + timeout_ns for part in self._open.values())
        return max(now_ns, min([event_ns, *waits]))

    def clear_until_mm(self, now_ns: int) -> float:
        """The lease: the belt travel up to which the coil may stay off for all that is known or can still come.

        ``now_ns`` is when the coil was last as it must be: a part whose pulse has begun by then is left out, for it the
        coil is on already, and stays on to the end. In doubt it ends where the belt has certainly been.
        """
        if self._belt.doubt is not Doubt.NONE:
            return self._belt.certain_mm(now_ns)
        here_mm, centre_mm = self._belt.position_mm(now_ns), self._at(self._nozzle, now_ns)
        slack_mm = self._belt.slack_mm
        if centre_mm - slack_mm <= self._blind_until_mm:
            return here_mm
        half_mm, begun = self._nozzle.pulse_mm / 2, self._begun.get(self._nozzle, _NOTHING)
        # What has not passed the sensor yet cannot be here before the whole way is gone.
        limit_mm = here_mm - half_mm
        first = bisect_left(self._stopped, (centre_mm - half_mm - slack_mm, 0))
        for position_mm, part_id in islice(self._stopped, first, None):
            begin_mm, _ = self._pulse_mm(self._nozzle, position_mm, part_id)
            if begin_mm > centre_mm + slack_mm or position_mm > begun.position_mm:
                limit_mm = min(limit_mm, begin_mm)
                break
        return here_mm + limit_mm - centre_mm

    def _next_edge_mm(self, nozzle: Nozzle, now_ns: int) -> float:
        """Belt travel until the next edge of a pulse."""
        centre_mm = self._at(nozzle, now_ns)
        slack_mm = self._belt.slack_mm
        edges_mm = [self._blind_until_mm + slack_mm - centre_mm]
        reach_mm = nozzle.pulse_mm / 2 + slack_mm
        first = bisect_left(self._stopped, (centre_mm - reach_mm, 0))
        for position_mm, part_id in islice(self._stopped, first, None):
            if self._concerns(nozzle, part_id):
                begin_mm, end_mm = self._pulse_mm(nozzle, position_mm, part_id)
                edges_mm += (begin_mm - slack_mm - centre_mm, end_mm + slack_mm - centre_mm)
            if position_mm > centre_mm + reach_mm:
                break
        return min((edge_mm for edge_mm in edges_mm if edge_mm > 0), default=math.inf)

    def _fires(self, nozzle: Nozzle, centre_mm: float) -> bool:
        slack_mm = self._belt.slack_mm
        reach_mm = nozzle.pulse_mm / 2 + slack_mm
        first = bisect_left(self._stopped, (centre_mm - reach_mm, 0))
        # So far a new reading of the encoder may take back what has begun: the doubt of then, and a pulse.
        begun = self._begun.get(nozzle, _NOTHING)
        far_mm = centre_mm + reach_mm + begun.slack_mm + nozzle.pulse_mm
        fires = False
        for position_mm, part_id in self._stopped[first : bisect_right(self._stopped, (far_mm, math.inf))]:
            begin_mm, end_mm = self._pulse_mm(nozzle, position_mm, part_id)
            on = begin_mm - slack_mm <= centre_mm or position_mm <= begun.position_mm
            if on and centre_mm <= end_mm + slack_mm and self._concerns(nozzle, part_id):
                fires = True
                if position_mm > begun.position_mm:
                    begun = _Begun(position_mm, slack_mm)
        self._begun[nozzle] = begun
        return fires

    def _concerns(self, nozzle: Nozzle, part_id: int) -> bool:
        part = self._parts[part_id]
        if nozzle.takes is None:
            return True
        return part.final and not nozzle.takes.isdisjoint({(part.bin, part.class_id), (part.bin, -1)})

    def _pulse_mm(self, nozzle: Nozzle, position_mm: float, part_id: int) -> tuple[float, float]:
        """Begin and end of the pulse for a part: cut at the middle to a passing neighbour."""
        half_mm, least_mm = nozzle.pulse_mm / 2, min(nozzle.min_pulse_mm, nozzle.pulse_mm) / 2
        begin_mm, end_mm = position_mm - half_mm, position_mm + half_mm
        at = bisect_left(self._order, (position_mm, part_id))
        if at > 0 and self._parts[self._order[at - 1][1]].passes:
            begin_mm = max(begin_mm, (self._order[at - 1][0] + position_mm) / 2)
        if at + 1 < len(self._order) and self._parts[self._order[at + 1][1]].passes:
            end_mm = min(end_mm, (self._order[at + 1][0] + position_mm) / 2)
        return min(begin_mm, position_mm - least_mm), max(end_mm, position_mm + least_mm)

    def _at(self, nozzle: Nozzle, now_ns: int) -> float:
        """Trigger position of a part whose centre meets the air of a coil that is written now."""
        return self._belt.position_mm(now_ns + nozzle.lead_ns) - nozzle.distance_mm


def _remove(keys: list[tuple[float, int]], key: tuple[float, int]) -> None:
    at = bisect_left(keys, key)
    if at < len(keys) and keys[at] == key:
        del keys[at]
