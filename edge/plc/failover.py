"""Two addresses of one PLC: the one that works is kept, the other is held ready."""

from edge.plc.link import Link
from edge.plc.link_filter import LinkFilter

LOSSES_TO_SWITCH = 3
"""Connections lost in a row without one sensible answer: it connects, but it does not work."""


class FailoverLink(LinkFilter):
    """A Link over two. Each has its own reconnect state machine; requests go to one at a time.

    ``opened`` moves on with every change of the active link, so that actuation treats it as a connection made anew:
    the coil is written before the heartbeat. The one that is not used gets no heartbeat and so diverts, if it is a
    PLC of its own.
    """

    def __init__(self, first: Link, second: Link) -> None:
        super().__init__(first)
        self._other = second
        self._seen = 0
        self._losses = 0
        self._opened = 0

    @property
    def active(self) -> Link:
        """The one that requests go to."""
        return self._link

    @property
    def opened(self) -> int:
        """Connections and changes of the active link."""
        return self._opened

    def service(self, now_ns: int) -> int:
        """Takes both a step further; switches when the other is open and this one is not, or does not work."""
        due_ns = min(self._link.service(now_ns), self._other.service(now_ns))
        if self._link.opened != self._seen:
            self._seen = self._link.opened
            self._losses += 1
            self._opened += 1
        if self._other.is_open and (not self._link.is_open or self._losses > LOSSES_TO_SWITCH):
            self._link, self._other = self._other, self._link
            self._seen = self._link.opened
            self._losses = 0
            self._opened += 1
        return due_ns

    def confirm(self) -> None:
        """The PLC has answered sense."""
        self._losses = 0
        super().confirm()

    def close(self, reason: str = "closed by us") -> None:
        """Both."""
        super().close(reason)
        self._other.close(reason)
