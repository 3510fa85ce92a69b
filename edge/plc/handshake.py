"""The handshake words: triggers, results, errors, recipe and lease, for a PLC that wants them."""

from edge.conveyor.speed import Belt
from edge.conveyor.tracking import ShiftRegister
from edge.plc.changeover import Changeover
from edge.plc.confirmation import RejectConfirmation
from edge.plc.registers import HANDSHAKE, U32_MASK, ControlBit, FaultCode, HandshakeBit, encode
from edge.plc.settings import PlcSettings

MISSED_LOOKS = 3
"""The PLC may count a part before its trigger reaches us: only what stays for so many looks was missed."""


class Handshake:
    """What goes into block ``handshake`` and what comes from block ``control``."""

    def __init__(
        self, settings: PlcSettings, register: ShiftRegister, belt: Belt, changeover: Changeover
    ) -> None:
        self._settings = settings
        self._register = register
        self._belt = belt
        self._changeover = changeover
        self.confirmation = RejectConfirmation(settings.confirmation) if settings.confirmation else None
        self.triggers = 0
        self.trigger_ack = 0
        self.inspection_id = 0
        self.overrun = 0
        self.missed = 0
        self.revoked = 0
        self.error = FaultCode.NONE
        self.steered_ns: int | None = None
        """When the ejector coil was last as it must be."""
        self._results_ack = 0
        self._trigger_offset: int | None = None
        self._missing_looks = 0

    def trigger(self, part_id: int) -> None:
        """A trigger was taken."""
        self.triggers += 1
        self.trigger_ack = max(self.trigger_ack, part_id)

    def result(self, part_id: int) -> None:
        """The verdict of a part is final."""
        if self._results_ack and self._results_ack != self.inspection_id & U32_MASK:
            self.overrun += 1
        self.inspection_id = max(self.inspection_id, part_id)

    @property
    def line_fault(self) -> FaultCode:
        """What the PLC's own words keep the line from."""
        if (fault := self._changeover.fault) is not FaultCode.NONE:
            return fault
        confirmation, settings = self.confirmation, self._settings.confirmation
        if confirmation and confirmation.alarm and settings and settings.stop_line:
            return FaultCode.REJECTS_UNCONFIRMED
        return FaultCode.NONE

    def control(self, values: dict[str, int], now_ns: int) -> None:
        """A reading of block ``control``."""
        self._changeover.request(values["recipe_request"])
        self._results_ack = values["results_ack"]
        if self.confirmation:
            self.confirmation.seen(values["rejects_seen"], now_ns)
        if values["control_bits"] & ControlBit.RESET_ERROR:
            self.error = FaultCode.NONE
            self._changeover.reset()
            if self.confirmation:
                self.confirmation.reset()
        self._compare_triggers(values["triggers_seen"], now_ns)

    def words(self, now_ns: int, *, ready: bool, fault: FaultCode) -> list[int]:
        """The block as registers."""
        if fault is not FaultCode.NONE:
            self.error = fault
        if self.confirmation and self.confirmation.alarm and self.error is FaultCode.NONE:
            self.error = FaultCode.REJECTS_UNCONFIRMED
        if self.error is FaultCode.NONE:
            self.error = self._changeover.alarm
        until_mm = self._belt.certain_mm(now_ns)
        if self.steered_ns is not None:
            until_mm = self._register.clear_until_mm(self.steered_ns)
        lease = self._belt.encoder_count(until_mm)
        inspection_id = self.inspection_id & U32_MASK
        bits = {
            HandshakeBit.TRIGGER_READY: ready,
            HandshakeBit.TRIGGER_MISSED: self.missed > 0,
            HandshakeBit.RESULTS_VALID: inspection_id > 0 and inspection_id != self._results_ack,
            HandshakeBit.RESULTS_OVERRUN: self.overrun > 0,
            HandshakeBit.ERROR: self.error is not FaultCode.NONE,
            HandshakeBit.LEASE: lease is not None and self._settings.mode == "pulse",
        }
        values = {
            "handshake_bits": sum(bit for bit, on in bits.items() if on),
            "error_code": int(self.error),
            "trigger_ack": self.trigger_ack & U32_MASK,
            "missed_triggers": self.missed & U32_MASK,
            "inspection_id": inspection_id,
            "results_overrun": min(self.overrun, 0xFFFF),
            "recipe_active": self._changeover.active,
            "clear_until": lease or 0,
            "unconfirmed_rejects": self.confirmation.unconfirmed & U32_MASK if self.confirmation else 0,
            "revoked": self.revoked & U32_MASK,
        }
        return encode(HANDSHAKE, values, self._settings.word_order)

    def _compare_triggers(self, seen: int, now_ns: int) -> None:
        """A part that the PLC saw and we did not lies on the belt without a verdict: everything there is rejected."""
        if not seen:
            return
        if self._trigger_offset is None:
            self._trigger_offset = seen - self.triggers & U32_MASK
        missing = seen - self._trigger_offset - self.triggers & U32_MASK
        if not 0 < missing < 1 << 16:
            self._missing_looks = 0
            return
        self._missing_looks += 1
        if self._missing_looks >= MISSED_LOOKS:
            self.missed += missing
            self._trigger_offset = self._trigger_offset + missing & U32_MASK
            self._missing_looks = 0
            self._register.start_blind(now_ns)
