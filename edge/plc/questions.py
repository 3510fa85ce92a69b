"""What the PLC is asked while nothing is due: speed and encoder, its control block, whether somebody else writes."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge._core import LineStatus, now_ns
from edge.conveyor.speed import EncoderBelt
from edge.conveyor.tracking import ShiftRegister
from edge.plc.connect import address_of
from edge.plc.ejector import EjectorCoil
from edge.plc.handshake import Handshake
from edge.plc.heartbeat import Heartbeat
from edge.plc.link import Link
from edge.plc.registers import CONTROL, PLC, STATUS, decode
from edge.plc.settings import PlcSettings
from edge.plc.writer import VerdictWriter

log = logging.getLogger("edge.plc")

GAP_NS = 2_000_000
"""A question keeps at least so far away from the next event."""
LOOK_FOR_OTHERS_NS = 200_000_000
FOREIGN_NS = 2_000_000_000
"""For so long after the last trace of a second master the line is not ready."""


@dataclass(frozen=True)
class Asked:
    """Whom the answers concern."""

    register: ShiftRegister
    coil: EjectorCoil
    writer: VerdictWriter
    heartbeat: Heartbeat
    handshake: Handshake | None
    encoder: EncoderBelt | None
    """The belt, if the PLC has its encoder."""


class Questions:
    """One question at a time, so that a verdict that comes meanwhile waits for no more than its answer."""

    def __init__(self, link: Link, settings: PlcSettings, status: LineStatus, asked: Asked) -> None:
        self._link = link
        self._settings = settings
        self._status = status
        self._asked = asked
        self._round: list[Callable[[int], None]] = []
        self._due_ns = 0
        self._look_due_ns = 0
        self._foreign_until_ns = 0

    def ask(self, event_ns: int) -> None:
        """The next question, if its answer is here before ``event_ns`` and no verdict is awaited."""
        now = now_ns()
        if self._settings.kind == "none" or not self._link.is_open:
            return
        if not self._round and now >= self._due_ns:
            self._due_ns = now + self._settings.poll_period_ms * 1_000_000
            self._round = [self.read_plc, self._read_back]
            if now >= self._look_due_ns:
                self._look_due_ns = now + LOOK_FOR_OTHERS_NS
                self._round.append(self._look_for_others)
        answer_ns = max(GAP_NS, 2 * self._asked.writer.round_trips.p50_ns)
        # A round that is a period late is no longer held back.
        awaited = self._asked.register.awaits_verdict and now < self._due_ns
        if self._round and now + answer_ns <= event_ns and not awaited:
            self._round.pop(0)(now)

    def next_ns(self, now_ns: int) -> int:
        """When to come again; never at once, so that what is held back is not asked for without a pause."""
        return max(now_ns if self._round else self._due_ns, now_ns + GAP_NS // 2)

    def foreign(self, now_ns: int) -> bool:
        """Whether a second master was seen of late."""
        return now_ns < self._foreign_until_ns

    def read_plc(self, now: int) -> None:
        """Speed and encoder, and the control block where there is one; in one request if they lie together."""
        plc = self._settings
        handshake, encoder = self._asked.handshake, self._asked.encoder
        control: tuple[int, ...] = ()
        deadline_ns = now + int(plc.timeout_ms * 1e6)
        if encoder:
            together = handshake is not None and plc.control_base == plc.plc_base + PLC.words
            words = PLC.words + (CONTROL.words if together else 0)
            reply = self._link.read_registers(plc.plc_base, words, deadline_ns)
            if not reply.acked:
                return
            control = reply.registers[PLC.words :]
            values = decode(PLC, reply.registers[: PLC.words], plc.word_order)
            if encoder.update(values["encoder"], values["speed"], reply.sent_ns, reply.ack_ns):
                publish_speed(self._status, encoder.speed_m_per_s, reply.sent_ns)
        if handshake:
            control = (
                control or self._link.read_registers(plc.control_base, CONTROL.words, deadline_ns).registers
            )
            if control:
                handshake.control(decode(CONTROL, control, plc.word_order), now)

    def _read_back(self, now: int) -> None:
        if self._asked.coil.read_back(now):
            self._found_foreign("the ejector coil was switched on")

    def _look_for_others(self, now: int) -> None:
        """Reads our own heartbeat back: nobody else may write it."""
        plc = self._settings
        if not plc.read_back or not self._status.plc_connected:
            return
        beat = next(register for register in STATUS.registers if register.name == "heartbeat")
        deadline_ns = now + int(plc.timeout_ms * 1e6)
        reply = self._link.read_registers(plc.status_base + beat.offset, 1, deadline_ns)
        if reply.acked and not self._asked.heartbeat.is_ours(reply.registers[0]):
            self._found_foreign(f"the heartbeat is {reply.registers[0]}, which we did not write")

    def _found_foreign(self, trace: str) -> None:
        now = now_ns()
        if not self.foreign(now):
            log.error("a second master writes to the PLC at %s: %s", address_of(self._settings), trace)
        self._foreign_until_ns = now + FOREIGN_NS


def publish_speed(status: LineStatus, speed_m_per_s: float, stamp_ns: int) -> None:
    """For the budget of the loop."""
    status.speed_um_per_s = round(speed_m_per_s * 1e6)
    status.speed_stamp_ns = stamp_ns
