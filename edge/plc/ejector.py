"""The ejector coil: what it should be, what the PLC was last told, and nothing in between."""

from edge.conveyor.tracking import ShiftRegister
from edge.plc.link import Link
from edge.plc.settings import PlcSettings

RETRY_NS = 5_000_000


class EjectorCoil:
    """Follows the shift register in pulse mode; in tracked mode the PLC fires by itself and the coil is left alone.

    The state is derived anew from the belt position each time, so a missed edge is made good at the next look and
    overlapping pulses become one.
    """

    def __init__(self, link: Link, settings: PlcSettings, register: ShiftRegister) -> None:
        self._link = link
        self._settings = settings
        self._register = register
        self._told: bool | None = None
        self._retry_ns = 0

    @property
    def active(self) -> bool:
        """Whether we drive the coil at all."""
        return self._settings.mode == "pulse" and self._link.is_open

    def forget(self) -> None:
        """The connection was lost: what the coil is now, nobody knows."""
        self._told = None

    def steer(self, now_ns: int) -> bool:
        """Writes the coil if it must change; False when the PLC did not take it."""
        if not self.active or now_ns < self._retry_ns:
            return True
        wanted = self._register.ejector_on(now_ns)
        return wanted is self._told or self._tell(wanted, now_ns)

    def off(self, now_ns: int) -> None:
        """Before we end."""
        if self.active and self._told is not False:
            self._tell(False, now_ns)

    def next_retry_ns(self, otherwise_ns: int) -> int:
        """When a refused write is tried again."""
        return self._retry_ns if self._retry_ns and self.active else otherwise_ns

    def _tell(self, wanted: bool, now_ns: int) -> bool:
        deadline_ns = now_ns + int(self._settings.timeout_ms * 1e6)
        acked = self._link.write_coil(self._settings.ejector.coil, wanted, deadline_ns).acked
        self._told = wanted if acked else None
        self._retry_ns = 0 if acked else now_ns + RETRY_NS
        return acked
