"""How long a write to the PLC takes: usually, and at worst once in a thousand."""

from edge._core import SlidingQuantile

TAIL_TRIPS, USUAL_TRIPS = 4000, 400
DOUBT_TRIPS = 200
"""Fresh round trips that make a tail; with the heartbeat's they come within ten seconds."""
REST_NS = 30_000_000_000
"""A PLC that stays slow is not doubted all the time."""


class RoundTrips:
    """The loop plans with these, and says when the tail keeps parts from the classifier: then it is doubted.

    A machine that was held up for a moment would else reject for the minutes that 4,000 round trips take. The fresh
    ones replace what was known; what is late all the same is rejected.
    """

    def __init__(self) -> None:
        self._tail = SlidingQuantile(TAIL_TRIPS, 0.999)
        self._usual = SlidingQuantile(USUAL_TRIPS, 0.5)
        self._fresh: SlidingQuantile | None = None
        self._fresh_trips = 0
        self._rests_until_ns = 0

    @property
    def p999_ns(self) -> int:
        """What one in a thousand exceeds; 0 before the first."""
        return self._tail.value()

    @property
    def p50_ns(self) -> int:
        """The usual one; 0 before the first."""
        return self._usual.value()

    def add(self, took_ns: int, now: int) -> None:
        """One acknowledged write."""
        self._tail.add(took_ns)
        self._usual.add(took_ns)
        if self._fresh is None:
            return
        self._fresh.add(took_ns)
        self._fresh_trips += 1
        if self._fresh_trips == DOUBT_TRIPS:
            self._tail, self._fresh = self._fresh, None
            self._rests_until_ns = now + REST_NS

    def doubt(self, now: int) -> None:
        """The tail is the reason that a part got no time."""
        if self._fresh is None and now >= self._rests_until_ns:
            self._fresh, self._fresh_trips = SlidingQuantile(TAIL_TRIPS, 0.999), 0
