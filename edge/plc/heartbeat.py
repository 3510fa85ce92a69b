"""What the PLC is told about the line every period: alive, ready or not, and why not."""

from dataclasses import dataclass

from edge._core import LineStatus, LoopState
from edge.plc.link import Link, Reply
from edge.plc.registers import PROTOCOL_VERSION, STATUS, U32_MASK, FaultCode, StatusBit, encode
from edge.plc.settings import PlcSettings

LOOP_BEAT_NS = 50_000_000
"""The loop beats at least this often."""


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

    def __init__(self, link: Link, settings: PlcSettings, status: LineStatus, recipe_id: int) -> None:
        self._link = link
        self._settings = settings
        self._status = status
        self._recipe_id = recipe_id
        self._period_ns = settings.heartbeat_period_ms * 1_000_000
        self._value = 0
        self.counters = Counters()
        self.due_ns = 0

    def fault(self, now_ns: int) -> FaultCode:
        """What keeps the line from being ready; NONE also while inspection is still starting."""
        status = self._status
        hung_ns = 2 * self._period_ns + LOOP_BEAT_NS
        if status.loop_state == LoopState.FAULT:
            return FaultCode.INSPECTION_FAULT
        if status.loop_state == LoopState.READY and now_ns - status.loop_beat_ns > hung_ns:
            return FaultCode.INSPECTION_SILENT
        if status.loop_state == LoopState.READY and not status.camera_ready:
            return FaultCode.CAMERA_NOT_READY
        return FaultCode.NONE

    def ready(self, now_ns: int) -> bool:
        """Loop ready and alive, camera ready."""
        return self._status.loop_state == LoopState.READY and self.fault(now_ns) is FaultCode.NONE

    def write(self, now_ns: int, *, ready: bool) -> Reply:
        """One status write. The next is due a period after this one was due, so that the beat does not drift."""
        self.due_ns = max(self.due_ns + self._period_ns, now_ns + self._period_ns // 2)
        self._value = (self._value + 1) & 0xFFFF
        words = encode(STATUS, self._values(now_ns, ready), self._settings.word_order)
        deadline_ns = now_ns + int(self._settings.timeout_ms * 1e6)
        return self._link.write_registers(self._settings.status_base, words, deadline_ns)

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
            "recipe_id": self._recipe_id,
            **{name: value & U32_MASK for name, value in vars(self.counters).items()},
        }
