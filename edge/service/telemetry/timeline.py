"""What held the clocks down when, to be laid beside the latency of parts."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

KEPT = 4096
"""Changes. At the worst of five a second that is a quarter of an hour, far longer than a record may wait."""
Names = frozenset[str]


class Timeline:
    """Names over time: at each change those that hold from then on."""

    def __init__(self, kept: int | None = KEPT) -> None:
        """``kept``: at least so many changes, the newest; None: all."""
        self._kept = kept
        self._times_ns: list[int] = []
        self._names: list[Names] = []
        self.until_ns = 0
        """Time of the last look; what comes after is not known yet."""

    def look(self, at_ns: int, names: Iterable[str]) -> None:
        """What holds now, at rising times. Between two looks that differ holds what either of them saw."""
        now = frozenset(names)
        before = self._names[-1] if self._names else now
        if now - before:
            self.change(self.until_ns, before | now)
        if now != before or not self._names:
            self.change(at_ns, now)
        self.until_ns = at_ns

    def change(self, at_ns: int, names: Names) -> None:
        """From this time on these hold, and no others."""
        self._times_ns.append(at_ns)
        self._names.append(names)
        if self._kept is not None and len(self._names) >= 2 * self._kept:
            del self._times_ns[: self._kept], self._names[: self._kept]

    def between(self, begin_ns: int, end_ns: int) -> Names:
        """All names that held at any time from begin to end; before the first look those of the first."""
        first = max(0, bisect_right(self._times_ns, begin_ns) - 1)
        last = max(first + 1, bisect_left(self._times_ns, end_ns))
        none: Names = frozenset()
        return none.union(*self._names[first:last])
