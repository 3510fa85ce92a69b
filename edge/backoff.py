"""The pause before a lost connection is tried again."""

FIRST_PAUSE_NS = 10_000_000


class BackOff:
    """No pause at first; from then on 10 ms, doubled with every loss up to a limit, until the peer answers sense."""

    def __init__(self, limit_ms: float) -> None:
        self._limit_ns = int(limit_ms * 1e6)
        self._pause_ns = 0
        self.due_ns = 0
        """When the next attempt may be made."""

    def lost(self, now_ns: int) -> None:
        """The connection has gone, or could not be made."""
        self.due_ns = now_ns + self._pause_ns
        self._pause_ns = min(max(2 * self._pause_ns, FIRST_PAUSE_NS), self._limit_ns)

    def reset(self) -> None:
        """The peer has answered sense: the next loss starts with the shortest pause again."""
        self._pause_ns = 0
