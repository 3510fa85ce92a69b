"""Whether the PLC answers: told once per change, and its round trip measured at first contact."""

import logging
from collections.abc import Callable, Sequence

from edge._core import LineStatus, now_ns
from edge.plc.connect import address_of
from edge.plc.ejector import EjectorCoil
from edge.plc.heartbeat import Heartbeat
from edge.plc.link import Link, Reply
from edge.plc.settings import PlcSettings
from edge.plc.writer import VerdictWriter

log = logging.getLogger("edge.plc")

MEASURED_WRITES = 1100
"""So many that one disturbed write does not decide the p99.9."""
MEASURE_LIMIT_NS = 2_000_000_000
MEASURE_SLICE_NS = 5_000_000


class Contact:
    """``watch`` at every turn, ``heard`` with every answer to a status write."""

    def __init__(
        self,
        link: Link,
        settings: PlcSettings,
        status: LineStatus,
        *,
        coils: Sequence[EjectorCoil],
        heartbeat: Heartbeat,
        writer: VerdictWriter,
    ) -> None:
        self._link = link
        self._settings = settings
        self._status = status
        self._coils = coils
        self._heartbeat = heartbeat
        self._writer = writer
        self._answers = False
        self._opened_seen = 0
        self._told_error = ""
        self._writes_to_measure = MEASURED_WRITES
        self._measure_until_ns = 0
        self._doubts_seen = status.plc_tail_doubts
        self.connections = 0
        """How often the PLC has begun to answer."""

    @property
    def measured(self) -> bool:
        """Whether the loop knows how long a write takes."""
        return not self._writes_to_measure

    def watch(self, opened: Callable[[int], None]) -> None:
        """Notices a lost or a new connection; ``opened`` is called with the time of a new one."""
        link = self._link
        if self._settings.kind == "none" or (link.is_open and link.opened == self._opened_seen):
            return
        # A connection may be lost and made anew between two looks: that is a loss too.
        self._opened_seen = link.opened
        for coil in self._coils:
            coil.forget()
        if link.is_open:
            opened(now_ns())
        if self._answers:
            self._answers = False
            self._status.plc_connected = 0
            self._status.line_ready = 0
            log.warning("the PLC at %s was lost: %s", self._address, link.last_error)
            self._told_error = link.last_error
        elif link.last_error and link.last_error != self._told_error:
            self._told_error = link.last_error
            log.warning("no PLC at %s: %s; trying again", self._address, self._told_error)

    def heard(self, reply: Reply) -> bool:
        """Takes the answer to a status write; True when it is the first of a connection."""
        self._writer.measured(reply)
        if not reply.acked or self._answers:
            return False
        self._answers = True
        self.connections += 1
        self._status.plc_connected = 1
        self._status.plc_reconnects = self.connections - 1
        self._told_error = ""
        self._link.confirm()
        log.warning("the PLC at %s answers", self._address)
        return True

    def measure(self, now: int, heard: Callable[[Reply], None]) -> None:
        """The round trip by harmless status writes, because the loop plans with its p99.9.

        In slices, so that parts that pass meanwhile are seen to.
        """
        self._measure_until_ns = self._measure_until_ns or now + MEASURE_LIMIT_NS
        while self._writes_to_measure and now_ns() < now + MEASURE_SLICE_NS:
            reply = self._heartbeat.write(now_ns(), ready=False)
            if not reply.acked:
                return
            heard(reply)
            self._writes_to_measure -= 1
            if now_ns() > self._measure_until_ns:
                self._writes_to_measure = 0
        self.publish_round_trip()
        self._heartbeat.due_ns = now_ns()

    def publish_round_trip(self) -> None:
        """For the loop, which plans with it, and says when it has reason to doubt it."""
        trips, doubts = self._writer.round_trips, self._status.plc_tail_doubts
        if doubts != self._doubts_seen:
            self._doubts_seen = doubts
            trips.doubt(now_ns())
        self._status.plc_write_p50_ns = trips.p50_ns
        self._status.plc_write_p999_ns = trips.p999_ns

    @property
    def _address(self) -> str:
        plc = self._settings
        return address_of(plc) if plc.kind == "rtu" or plc.standby else f"{plc.host}:{plc.port}"
