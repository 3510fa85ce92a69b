"""An ejector coil: what it should be, what the PLC was last told, and nothing in between."""

import logging
from collections.abc import Callable

from edge._core import PlcResult
from edge.plc.link import Link
from edge.plc.settings import EjectorSettings, PlcSettings

log = logging.getLogger("edge.plc")

RETRY_NS = 5_000_000


class EjectorCoil:
    """Follows the shift register in pulse mode; in tracked mode the PLC fires by itself and the coil is left alone.

    The state is derived anew from the belt position each time, so a missed edge is made good at the next look and
    overlapping pulses become one. ``wanted`` says what the coil must be at a time.
    """

    def __init__(
        self, link: Link, settings: PlcSettings, ejector: EjectorSettings, wanted: Callable[[int], bool]
    ) -> None:
        self._link = link
        self._settings = settings
        self._ejector = ejector
        self._wanted = wanted
        self._told: bool | None = None
        self._retry_ns = 0
        self._air_ns = 0
        self._refused = False
        self._reads_back = settings.read_back
        self.steered_ns: int | None = None
        """When the coil was last what it must be; None: nobody knows."""
        self._disturbed = False

    @property
    def active(self) -> bool:
        """Whether we drive the coil at all."""
        return self._settings.mode == "pulse" and self._link.is_open

    def forget(self) -> None:
        """The connection was lost: what the coil is now, nobody knows."""
        self._told = None
        self.steered_ns = None

    def in_charge_ns(self, now_ns: int) -> int:
        """From when the air at the nozzle follows us: a valve lag after the first write of a connection.

        Until then the heartbeat must not release the diverter. A coil that is refused is tried again.
        """
        if not self.active:
            return now_ns
        return self._air_ns if self._told is not None else max(now_ns + 1, self._retry_ns)

    def steer(self, now_ns: int) -> bool:
        """Writes the coil if it must change; True when it did."""
        if self.active and now_ns >= self._retry_ns:
            wanted = self._wanted(now_ns)
            changed = wanted is not self._told
            if changed:
                self._tell(wanted, now_ns)
            if self._told is wanted:
                self.steered_ns = now_ns
            return changed
        return False

    def off(self, now_ns: int) -> None:
        """Before we end."""
        if self.active and self._told is not False:
            self._tell(False, now_ns)

    def next_retry_ns(self, otherwise_ns: int) -> int:
        """When a refused write is tried again."""
        return self._retry_ns if self._retry_ns and self.active else otherwise_ns

    def read_back(self, now_ns: int) -> bool:
        """Looks whether the coil is what it was told; True when it is on and nobody told it so.

        A coil that went off by itself is written again: a PLC may end pulses by a timer of its own.
        """
        if not (self._reads_back and self.active) or self._told is None:
            return False
        deadline_ns = now_ns + int(self._settings.timeout_ms * 1e6)
        reply = self._link.read_coils(self._ejector.coil, 1, deadline_ns)
        if reply.result is PlcResult.REFUSED:
            log.warning("the PLC does not let coil %d be read: it is no longer checked", self._ejector.coil)
            self._reads_back = False
        if not reply.acked or bool(reply.registers[0]) is self._told:
            return False
        foreign = not self._told
        if not foreign and not self._disturbed:
            self._disturbed = True
            log.warning(
                "coil %d was switched off by somebody else (a pulse timer of the PLC?); it is written again each time",
                self._ejector.coil,
            )
        self.forget()
        return foreign

    def _tell(self, wanted: bool, now_ns: int) -> None:
        deadline_ns = now_ns + int(self._settings.timeout_ms * 1e6)
        reply = self._link.write_coil(self._ejector.coil, wanted, deadline_ns)
        if reply.acked and self._told is None:
            self._air_ns = reply.ack_ns + int(self._ejector.lead_ms * 1e6)
        self._told = wanted if reply.acked else None
        self._retry_ns = 0 if reply.acked else now_ns + RETRY_NS
        if reply.result is PlcResult.REFUSED and not self._refused:
            log.warning(
                "the PLC refuses the ejector coil %d (exception %d): no heartbeat until it takes it",
                self._ejector.coil,
                reply.exception_code,
            )
        self._refused = reply.result is PlcResult.REFUSED
