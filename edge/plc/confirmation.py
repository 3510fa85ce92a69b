"""Whether the parts that were to be rejected were seen in the reject chute."""

from collections import deque

from edge.plc.registers import U32_MASK
from edge.plc.settings import ConfirmationSettings


class RejectConfirmation:
    """Compares rejects at the nozzle with what the sensor in the chute counts."""

    def __init__(self, settings: ConfirmationSettings) -> None:
        self._within_ns = int(settings.within_ms * 1e6)
        self._expected: deque[int] = deque()
        self._early: deque[int] = deque()
        self._seen: int | None = None
        self.unconfirmed = 0
        self.confirmed = 0
        self.alarm = False

    def rejected(self, now_ns: int) -> None:
        """A part that does not pass has left the nozzle."""
        if self._early:
            self._early.popleft()
            self.confirmed += 1
        else:
            self._expected.append(now_ns)

    def seen(self, count: int, now_ns: int) -> None:
        """A reading of the counter; one that went back was restarted."""
        more = 0 if self._seen is None else count - self._seen & U32_MASK
        self._seen = count
        for _ in range(more if more < 1 << 16 else 0):
            if self._expected:
                self._expected.popleft()
                self.confirmed += 1
            else:
                # The sensor may be nearer than our own idea of "left the nozzle"; others are thrown by the diverter.
                self._early.append(now_ns)
        while self._early and now_ns > self._early[0] + self._within_ns:
            self._early.popleft()
        while self._expected and now_ns > self._expected[0] + self._within_ns:
            self._expected.popleft()
            self.unconfirmed += 1
            self.alarm = True

    def reset(self) -> None:
        """The PLC says that somebody has looked."""
        self.alarm = False
