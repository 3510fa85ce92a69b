"""Two addresses of one PLC: the one that works is kept, the other is held ready."""

from edge.plc.link import Link, Reply

LOSSES_TO_SWITCH = 3
"""Connections lost in a row without one sensible answer: it connects, but it does not work."""


class FailoverLink:
    """A Link over two. Each has its own reconnect state machine; requests go to one at a time.

    ``opened`` moves on with every change of the active link, so that actuation treats it as a connection made anew:
    the coil is written before the heartbeat. The one that is not used gets no heartbeat and so diverts, if it is a
    PLC of its own.
    """

    def __init__(self, first: Link, second: Link) -> None:
        self._links = (first, second)
        self._active = 0
        self._seen = 0
        self._losses = 0
        self.opened = 0

    @property
    def active(self) -> Link:
        """The one that requests go to."""
        return self._links[self._active]

    @property
    def is_open(self) -> bool:
        """True while requests can be sent."""
        return self.active.is_open

    @property
    def last_error(self) -> str:
        """Of the active one."""
        return self.active.last_error

    def service(self, now_ns: int) -> int:
        """Takes both a step further; switches when the other is open and this one is not, or does not work."""
        due_ns = min(link.service(now_ns) for link in self._links)
        if self.active.opened != self._seen:
            self._seen = self.active.opened
            self._losses += 1
            self.opened += 1
        other = self._links[1 - self._active]
        if other.is_open and (not self.active.is_open or self._losses > LOSSES_TO_SWITCH):
            self._active = 1 - self._active
            self._seen = self.active.opened
            self._losses = 0
            self.opened += 1
        return due_ns

    def confirm(self) -> None:
        """The PLC has answered sense."""
        self._losses = 0
        self.active.confirm()

    def rehearse(self, address: int, values: list[int]) -> None:
        """On the active link."""
        self.active.rehearse(address, values)

    def write_registers(self, address: int, values: list[int], deadline_ns: int) -> Reply:
        """On the active link."""
        return self.active.write_registers(address, values, deadline_ns)

    def read_registers(self, address: int, count: int, deadline_ns: int) -> Reply:
        """On the active link."""
        return self.active.read_registers(address, count, deadline_ns)

    def write_coil(self, address: int, on: bool, deadline_ns: int) -> Reply:
        """On the active link."""
        return self.active.write_coil(address, on, deadline_ns)

    def read_coils(self, address: int, count: int, deadline_ns: int) -> Reply:
        """On the active link."""
        return self.active.read_coils(address, count, deadline_ns)

    def close(self, reason: str = "closed by us") -> None:
        """Both."""
        for link in self._links:
            link.close(reason)
