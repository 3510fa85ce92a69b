"""How long a write to the PLC takes: usually, and at worst once in a thousand."""

from edge._core import SlidingQuantile, TailDoubt

TAIL_TRIPS, USUAL_TRIPS = 4000, 400


class RoundTrips:
    """The loop plans with these, and says when the tail keeps parts from the classifier: then it is doubted.

    A machine that was held up for a moment would else reject for the minutes that 4,000 round trips take. The fresh
    ones, which with the heartbeat's come within ten seconds, replace what was known; what is late all the same is
    rejected.
    """

    def __init__(self) -> None:
        self._tail = SlidingQuantile(TAIL_TRIPS, 0.999)
        self._usual = SlidingQuantile(USUAL_TRIPS, 0.5)
        self._doubt = TailDoubt(TAIL_TRIPS)

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
        if self._doubt.raised:
            self._doubt.ran(took_ns, now, self._tail)

    def doubt(self, now: int) -> None:
        """The tail is the reason that a part got no time."""
        self._doubt.raise_(now)
