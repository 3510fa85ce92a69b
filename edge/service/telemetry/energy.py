"""Energy of a part: the device's power over the time in which its engines ran."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from itertools import pairwise

from edge._core import Route
from edge.profile.stages import Record
from edge.service.telemetry.reading import Reading

KEPT = 600
"""Readings: two minutes at five a second, longer than a record may wait for its PLC."""


class EnergyMeter:
    """Joules by route. Power is taken as straight lines between readings; parts outside of them are not counted."""

    def __init__(self, kept: int | None = KEPT) -> None:
        """``kept``: readings, and parts that wait for theirs; None: all."""
        self._times_ns: deque[int] = deque(maxlen=kept)
        self._watts: deque[float] = deque(maxlen=kept)
        self.joules: defaultdict[str, float] = defaultdict(float)
        self.parts: Counter[str] = Counter()
        self._waiting: deque[Record] = deque(maxlen=kept)

    def look(self, reading: Reading) -> None:
        """A new reading; parts up to it can be counted now."""
        watts = reading.total_w
        if watts is None:
            return
        self._times_ns.append(reading.at_ns)
        self._watts.append(watts)
        while self._waiting and _end_ns(self._waiting[0]) <= reading.at_ns:
            self._count(self._waiting.popleft())

    def add(self, record: Record) -> None:
        """A part whose engines ran."""
        if engine_span_ns(record):
            self._waiting.append(record.copy())

    def _count(self, record: Record) -> None:
        begin, end = int(record["gate_in_ns"]), _end_ns(record)
        if not self._times_ns or begin < self._times_ns[0]:
            return
        route = Route(int(record["route"])).name.lower()
        self.joules[route] += self.energy_j(begin, end)
        self.parts[route] += 1

    def energy_j(self, begin_ns: int, end_ns: int) -> float:
        """Integral of the power between two times within the readings, by trapezoids."""
        times = list(self._times_ns)
        inner = times[bisect_right(times, begin_ns) : bisect_left(times, end_ns)]
        points = [begin_ns, *inner, end_ns]
        watts = [self._at(times, point) for point in points]
        return sum(
            (b - a) / 1e9 * (p + q) / 2 for (a, p), (b, q) in pairwise(zip(points, watts, strict=True))
        )

    def _at(self, times: list[int], at_ns: int) -> float:
        after = min(max(1, bisect_left(times, at_ns)), len(times) - 1) if len(times) > 1 else 0
        if after == 0:
            return self._watts[0]
        t0, t1 = times[after - 1], times[after]
        share = min(1.0, max(0.0, (at_ns - t0) / (t1 - t0)))
        return self._watts[after - 1] + share * (self._watts[after] - self._watts[after - 1])


def engine_span_ns(record: Record) -> tuple[int, int] | None:
    """From the first engine's begin to the last one's end; None: no engine ran."""
    begin, end = int(record["gate_in_ns"]), _end_ns(record)
    return (begin, end) if begin and end else None


def _end_ns(record: Record) -> int:
    return int(record["classifier_out_ns"] or record["gate_out_ns"])
