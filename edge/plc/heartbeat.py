"""What the PLC is told about the line every period: alive, ready or not, and why not."""

import os
from dataclasses import dataclass

from edge._core import LineStatus, LoopState
from edge.plc.changeover import Changeover
from edge.plc.handshake import Handshake
from edge.plc.link import Link, Reply
from edge.plc.registers import PROTOCOL_VERSION, STATUS, U32_MASK, FaultCode, StatusBit, encode
from edge.plc.settings import PlcSettings

SHORTEST_HANG_NS = 60_000_000
"""The loop beats every 20 ms, and between two parts."""

CAMERA_SILENT_NS = 250_000_000
"""The camera process beats at least five times as often, whatever the camera does."""

WORKING = (LoopState.READY, LoopState.HELD)


@dataclass
class Counters:
    """Since the start of the runtime."""

    parts: int = 0
    passes: int = 0
    rejects: int = 0
    overruns: int = 0
    unconfirmed: int = 0


class Heartbeat:
    """Status writes. The heartbeat is ours; READY is true only while everything a verdict needs is alive."""

    def __init__(
        self,
        link: Link,
        settings: PlcSettings,
        status: LineStatus,
        changeover: Changeover,
        handshake: Handshake | None = None,
    ) -> None:
        self._link = link
        self._settings = settings
        self._status = status
        self._changeover = changeover
        self._period_ns = settings.heartbeat_period_ms * 1_000_000
        # From anywhere: a PLC that sees the beat leap knows that its master is another one.
        self._value = int.from_bytes(os.urandom(2), "big")
        self._handshake = handshake
        self._hung_ns = max(self._period_ns * 3 // 2, SHORTEST_HANG_NS)
        self.line_fault = FaultCode.NONE
        """What actuation itself has found: tracking lost, a second master, rejects not confirmed."""
        self._told_ready = False
        self._last_acked = False
        self.counters = Counters()
        self.due_ns = 0

    def fault(self, now_ns: int) -> FaultCode:
        """What keeps the line from being ready; NONE also while inspection is still starting."""
        status = self._status
        working = status.loop_state in WORKING
        if status.loop_state == LoopState.FAULT:
            return FaultCode.INSPECTION_FAULT
        if working and now_ns - status.loop_beat_ns > self._hung_ns:
            return FaultCode.INSPECTION_SILENT
        if working and not status.camera_ready:
            return FaultCode.CAMERA_NOT_READY
        if working and self.camera_silent(now_ns):
            return FaultCode.CAMERA_SILENT
        return self.line_fault

    def camera_silent(self, now_ns: int) -> bool:
        """Whether the camera process is dead or hung, whatever it said last."""
        beat_ns = self._status.camera_beat_ns
        return beat_ns > 0 and now_ns - beat_ns > CAMERA_SILENT_NS

    def must_tell_ns(self, otherwise_ns: int) -> int:
        """When READY becomes a lie if the loop does not beat again: that is told at once, not at the next beat."""
        return self._status.loop_beat_ns + self._hung_ns + 1 if self._told_ready else otherwise_ns

    def ready(self, now_ns: int) -> bool:
        """Loop ready and alive, camera ready, and no change of the recipe under way."""
        if self._changeover.under_way:
            return False
        return self._status.loop_state == LoopState.READY and self.fault(now_ns) is FaultCode.NONE

    def write(self, now_ns: int, *, ready: bool) -> Reply:
        """One status write. The next is due a period after this one was due, so that the beat does not drift."""
        self.due_ns = max(self.due_ns + self._period_ns, now_ns + self._period_ns // 2)
        if self._link.is_open:
            self._value = (self._value + 1) & 0xFFFF
        self._told_ready = ready
        settings = self._settings
        words = encode(STATUS, self._values(now_ns, ready), settings.word_order)
        deadline_ns = now_ns + int(settings.timeout_ms * 1e6)
        reply = self._send(words, now_ns, deadline_ns, ready=ready)
        self._last_acked = reply.acked
        return reply

    def _send(self, words: list[int], now_ns: int, deadline_ns: int, *, ready: bool) -> Reply:
        settings = self._settings
        if self._handshake is None:
            return self._link.write_registers(settings.status_base, words, deadline_ns)
        more = self._handshake.words(now_ns, ready=ready, fault=self.fault(now_ns))
        if settings.handshake_base == settings.status_base + len(words):
            return self._link.write_registers(settings.status_base, words + more, deadline_ns)
        # The lease first: a heartbeat must not release the diverter on an old one.
        reply = self._link.write_registers(settings.handshake_base, more, deadline_ns)
        return self._link.write_registers(settings.status_base, words, deadline_ns) if reply.acked else reply

    def withhold(self, until_ns: int) -> None:
        """No status write before a time: the diverter must not be released yet."""
        self._told_ready = False
        self.due_ns = until_ns

    def is_ours(self, value: int) -> bool:
        """Whether a heartbeat that was read back may be ours; a PLC may show it one write late."""
        return not self._last_acked or (self._value - value & 0xFFFF) <= 1

    def _values(self, now_ns: int, ready: bool) -> dict[str, int]:
        fault = self.fault(now_ns)
        bits = {
            StatusBit.READY: ready,
            StatusBit.FAULT: fault is not FaultCode.NONE,
            StatusBit.CAMERA_READY: self._status.camera_ready != 0,
            StatusBit.INSPECTION_READY: self._status.loop_state == LoopState.READY,
            StatusBit.TRACKED_MODE: self._settings.mode == "tracked",
        }
        return {
            "protocol_version": PROTOCOL_VERSION,
            "heartbeat": self._value,
            "heartbeat_period_ms": self._settings.heartbeat_period_ms,
            "status_bits": sum(bit for bit, on in bits.items() if on),
            "fault_code": fault,
            "recipe_id": self._changeover.active,
            **{name: value & U32_MASK for name, value in vars(self.counters).items()},
        }
