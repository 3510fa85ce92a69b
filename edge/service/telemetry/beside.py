"""Latency of parts while something held the clocks down, beside that of the others."""

from collections import Counter, deque

from edge._core import Histogram
from edge.profile.stages import Record, latency_ns
from edge.service.telemetry.timeline import Timeline

KEPT = 4096
"""Parts that wait for the look after them; more of them within 0.2 s no belt brings."""


class LatencyBeside:
    """Bounded: two histograms, a count for each cause. A part is counted once a look after it has been taken."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._waiting: deque[tuple[int, int]] = deque(maxlen=KEPT)
        self.latency: dict[bool, Histogram] = {False: Histogram(), True: Histogram()}
        """Whether something held the clocks down → latency, ns."""
        self.parts: Counter[str] = Counter()
        """Of each cause; a part may have several."""

    def add(self, record: Record) -> None:
        """A part; one without a latency is not counted."""
        if latency_ns(record) is not None:
            self._waiting.append((int(record["received_ns"]), int(record["ack_ns"])))

    def count(self) -> None:
        """Those of which all is known."""
        for _ in range(len(self._waiting)):
            begin_ns, end_ns = self._waiting.popleft()
            if end_ns > self._timeline.until_ns:
                self._waiting.append((begin_ns, end_ns))
                continue
            names = self._timeline.between(begin_ns, end_ns)
            self.latency[bool(names)].add(end_ns - begin_ns)
            self.parts.update(names)
