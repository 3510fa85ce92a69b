"""Which parts have had their verdict: each gets one, whoever speaks of it again.

A camera that was away may tell of a part twice, and a loop that was held up judges one that was given up long ago;
both may happen after the process that told the PLC has died, so it is read from the ring of records at the start.
"""

from collections import deque
from collections.abc import Iterable

KEPT = 4096
"""More than the region's rings of triggers and verdicts hold together: what is older cannot come again."""

Key = tuple[int, int]
"""Part id and time of its trigger, ns: a source that counts from one again tells of other parts."""


class ToldParts:
    """Bounded; the oldest are forgotten."""

    def __init__(self, kept: int = KEPT) -> None:
        self._order: deque[Key] = deque(maxlen=kept)
        self._keys: set[Key] = set()

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def add(self, key: Key) -> None:
        """This part has its verdict."""
        if key in self._keys:
            return
        if len(self._order) == self._order.maxlen:
            self._keys.discard(self._order[0])
        self._order.append(key)
        self._keys.add(key)

    def update(self, keys: Iterable[Key]) -> None:
        """These have theirs."""
        for key in keys:
            self.add(key)
