"""The twin PLC: the program of a reject gate behind a real Modbus TCP server, in a process of its own."""

import argparse
import gc
import json
import signal
import sys
import time
from collections import deque
from pathlib import Path

import numpy as np

from edge._core import Reason, set_fifo_priority
from edge.errors import EdgeError, TwinError
from edge.plc.registers import (
    CONTROL,
    HANDSHAKE,
    PLC,
    STATUS,
    VERDICT,
    HandshakeBit,
    PlcMode,
    PlcState,
    StatusBit,
    decode,
    encode,
    signed_distance,
)
from engines.whole_file import write_whole
from tools.twin.conveyor import SpeedProfile
from tools.twin.modbus import COILS, REGISTERS, ModbusServer
from tools.twin.world import BIN_GOOD, BIN_REJECT, BIN_UNKNOWN, World

STATUS_BASE, HANDSHAKE_BASE, VERDICT_BASE, PLC_BASE, CONTROL_BASE = 0, 16, 32, 64, 72
"""The defaults of the ``plc`` section of a line file."""

EJECTOR_COIL = 0
PASS, REJECT = 1, 2
NO_PART = 0
"""Class of an empty place on the belt, tools.twin.parts.CLASSES."""
BELT_START_NS = 300_000_000
SCAN_NS = 5_000_000
FIFO_PRIORITY = 70
"""Above the line's own processes: the machine that this one stands for does not share their processors."""
NEVER_CHANGED_NS = -(2**62)
MAX_HEARTBEAT_STEP = 64
"""A heartbeat that steps back or leaps further comes from a second master."""
DISTRUST_NS = 1_000_000_000
"""For so long after such a leap nobody holds the diverter."""


class ReadyGate:
    """The heartbeat watchdog: a spring holds the diverter on reject, a live heartbeat pulls it to pass."""

    def __init__(self) -> None:
        self._value: int | None = None
        self._changed_ns = NEVER_CHANGED_NS
        self._period_ns = 50_000_000
        self._trusted_from_ns = NEVER_CHANGED_NS
        self._clear_until: int | None = None
        self.jumps = 0
        self.ready = False

    def status(self, values: dict[str, int], now_ns: int) -> None:
        """A status write was received."""
        step = (values["heartbeat"] - self._value) & 0xFFFF if self._value is not None else 0
        if step > MAX_HEARTBEAT_STEP:
            self.jumps += 1
            self._trusted_from_ns = now_ns + DISTRUST_NS
        if values["heartbeat"] != self._value:
            # The first value alone proves nothing: it may have stood there for hours.
            self._changed_ns = now_ns if self._value is not None else NEVER_CHANGED_NS
            self._value = values["heartbeat"]
        self._period_ns = max(1, values["heartbeat_period_ms"]) * 1_000_000
        self.ready = bool(values["status_bits"] & StatusBit.READY)

    def alive(self, at_ns: int) -> bool:
        """Whether the heartbeat had changed within two periods before a time."""
        return self._trusted_from_ns <= at_ns <= self._changed_ns + 2 * self._period_ns

    def handshake(self, values: dict[str, int]) -> None:
        """A handshake write was received: with the lease, when the runtime gives one."""
        leased = values["handshake_bits"] & HandshakeBit.LEASE
        self._clear_until = values["clear_until"] if leased else None

    def past_lease(self, encoder: int) -> int:
        """Counts since something that must be rejected can be at the nozzle; 0 or less: it cannot."""
        return 0 if self._clear_until is None else signed_distance(encoder & 0xFFFFFFFF, self._clear_until)


class EjectorValve:
    """Air at the nozzle: the coil as it was one valve lag ago, from the recorded edges."""

    def __init__(self, lag_ns: int) -> None:
        self._lag_ns = lag_ns
        self._edges: deque[tuple[int, bool]] = deque([(NEVER_CHANGED_NS, False)], maxlen=256)

    def coil(self, on: bool, at_ns: int) -> None:
        """The coil changed at a time, at the earliest when it changed last."""
        last_ns, was_on = self._edges[-1]
        if on != was_on:
            self._edges.append((max(at_ns, last_ns), on))

    def blows(self, at_ns: int) -> bool:
        """Whether there was air at a time."""
        return next((on for edge_ns, on in reversed(self._edges) if edge_ns <= at_ns - self._lag_ns), False)


class Changeovers:
    """Which recipe is wanted when, and how long the runtime takes: from the scan that asks to its answer."""

    def __init__(self, plan: str) -> None:
        """``plan``: seconds:number,… after the belt has started. Raises TwinError: not such a plan."""
        try:
            pairs = [item.split(":") for item in plan.split(",") if item]
            self._plan = deque(sorted((float(seconds), int(number)) for seconds, number in pairs))
        except ValueError as error:
            raise TwinError(f"changeovers '{plan}': expected seconds:number,seconds:number…") from error
        self._started_ns: int | None = None
        self.request = 0
        self.done: list[dict[str, int]] = []

    def scan(self, now_ns: int) -> None:
        """Asks for the next one when its time has come."""
        self._started_ns = self._started_ns or now_ns
        if self._plan and now_ns >= self._started_ns + int(self._plan[0][0] * 1e9):
            self.request = self._plan.popleft()[1]
            self.done.append({"number": self.request, "asked_ns": now_ns, "active_ns": 0})

    def told(self, active: int, now_ns: int) -> None:
        """The runtime said which recipe is active."""
        last = self.done[-1] if self.done else None
        if last and active == last["number"] and not last["active_ns"]:
            last["active_ns"] = now_ns


class VerdictQueue:
    """Checks and counts the verdict records; writes them into the world."""

    def __init__(self, world: World | None) -> None:
        self._world = world
        self.taken = 0
        self.duplicates = 0
        self.gaps = 0
        self.unknown = 0
        self.revoked = 0
        self.last_sequence = 0

    def record(self, values: dict[str, int], now_ns: int) -> None:
        """A verdict record was received; one whose commit word does not fit is torn and not taken."""
        sequence = values["sequence"]
        if values["commit"] != sequence & 0xFFFF or sequence == 0:
            return
        self.taken += 1
        if sequence > self.last_sequence + 1:
            self.gaps += sequence - self.last_sequence - 1
        self.last_sequence = max(self.last_sequence, sequence)
        if self._world is not None:
            self._enter(self._world, values, now_ns)

    def passes(self, index: int) -> bool:
        """True when the part has a valid, timely PASS."""
        assert self._world is not None
        part = self._world.parts[index]
        return bool(part["verdict"] == PASS and not part["late"])

    def _enter(self, world: World, values: dict[str, int], now_ns: int) -> None:
        index = values["sequence"] - 1
        if index >= len(world.parts):
            self.unknown += 1
            return
        part = world.parts[index : index + 1]
        first = part["verdict_count"][0] == 0
        if not first and values["verdict"] == REJECT and self._taken_back(part[0], values["reason"]):
            self.revoked += 1
            part["verdict"], part["verdict_ns"] = REJECT, now_ns
            return
        part["verdict_count"] += part["verdict_count"] < 0xFFFF
        if not first:
            self.duplicates += 1
        if first or values["verdict"] == REJECT:
            late = signed_distance(world.encoder_count(now_ns) & 0xFFFFFFFF, values["valid_until"]) > 0
            part["verdict"], part["late"], part["verdict_ns"] = values["verdict"], late, now_ns

    def _taken_back(self, part: np.void, reason: int) -> bool:
        """A reject that is no second verdict: of a runtime that never heard its first one acknowledged.

        Too late, and so a second one, for a part that lies among the good.
        """
        if part["verdict"] == REJECT:  # told again: killed between a verdict and its acknowledgement
            return reason == Reason.PLC_SILENT
        return bool(part["bin"] != BIN_GOOD)


class FreeBelt:
    """The belt of a PLC without a world: it runs from the start, and nothing lies on it."""

    def __init__(self, profile: str, start_ns: int, counts_per_mm: float = 10.0) -> None:
        self._profile = SpeedProfile.parse(profile)
        self._start_ns = start_ns
        self._counts_per_mm = counts_per_mm

    def speed_m_per_s(self, now_ns: int) -> float:
        """Speed of the belt."""
        return self._profile.speed_m_per_s((now_ns - self._start_ns) / 1e9)

    def encoder_count(self, now_ns: int) -> int:
        """What the encoder on the belt shows."""
        return int(self._profile.position_mm((now_ns - self._start_ns) / 1e9) * self._counts_per_mm)


class TwinPlc:
    """What runs on the PLC: watchdog, verdict queue, ejector, and which part falls into which bin.

    After a restart on the same world, parts that crossed meanwhile lie in the reject bin: without power the
    spring holds the diverter there.
    """

    def __init__(
        self,
        world: World | None,
        mode: PlcMode,
        valve_lag_ms: float,
        now_ns: int,
        speed: str = "1.2",
        *,
        changeovers: "Changeovers | None" = None,
    ) -> None:
        self.coils = [False] * COILS
        self.registers = [0] * REGISTERS
        self._world = world
        self._belt = world or FreeBelt(speed, now_ns)
        self._mode = mode
        self._started_ns = now_ns
        self._gate = ReadyGate()
        self._valve = EjectorValve(int(valve_lag_ms * 1e6))
        self._queue = VerdictQueue(world)
        self._handshake = {register.name: 0 for register in HANDSHAKE.registers}
        self._rejects_seen = 0
        self._changeovers = changeovers or Changeovers("")
        self._positions_mm = np.array(world.parts["position_mm"] if world else [])
        self._scans = 0
        self._next = 0
        self._refresh(now_ns)

    def scan(self, now_ns: int) -> None:
        """One cycle of the PLC."""
        self._scans += 1
        self._look_at_coil(now_ns)
        if self._world is None or self._world.running:
            self._changeovers.scan(now_ns)

    def before_read(self, now_ns: int) -> None:
        """Fresh speed and encoder."""
        self._refresh(now_ns)

    def wrote_registers(self, address: int, count: int, now_ns: int) -> None:
        """Takes a whole status or verdict block; parts of one are only stored."""
        self._end_lease(now_ns)
        self._advance(now_ns)
        end = address + count
        if address <= STATUS_BASE and end >= STATUS_BASE + STATUS.words:
            self._gate.status(decode(STATUS, self._words(STATUS_BASE, STATUS.words)), now_ns)
            self._start_belt(now_ns)
        if address <= HANDSHAKE_BASE and end >= HANDSHAKE_BASE + HANDSHAKE.words:
            self._handshake = decode(HANDSHAKE, self._words(HANDSHAKE_BASE, HANDSHAKE.words))
            self._gate.handshake(self._handshake)
            self._changeovers.told(self._handshake["recipe_active"], now_ns)
            self._drive_valve(now_ns)
        if address <= VERDICT_BASE and end >= VERDICT_BASE + VERDICT.words:
            self._queue.record(decode(VERDICT, self._words(VERDICT_BASE, VERDICT.words)), now_ns)

    def wrote_coils(self, now_ns: int) -> None:
        """The ejector coil may have changed."""
        self._look_at_coil(now_ns)

    def _look_at_coil(self, now_ns: int) -> None:
        self._end_lease(now_ns)
        self._drive_valve(now_ns)
        self._advance(now_ns)

    def _words(self, base: int, count: int) -> list[int]:
        return self.registers[base : base + count]

    def _start_belt(self, now_ns: int) -> None:
        if self._world is not None and self._gate.ready and self._gate.alive(now_ns):
            self._world.start(now_ns + BELT_START_NS)

    def _advance(self, now_ns: int) -> None:
        """Drops every part whose centre has crossed the nozzle by now.

        Called before anything changes: what a request changes holds from its arrival on only.
        """
        world = self._world
        if world is None or not world.running:
            return
        while self._next < len(world.parts):
            part = world.parts[self._next : self._next + 1]
            crossing_ns = world.time_at_ns(float(part["position_mm"][0]) + world.camera_to_ejector_mm)
            if crossing_ns > now_ns:
                return
            if part["bin"][0] == BIN_UNKNOWN:
                part["crossing_ns"] = crossing_ns
                part["bin"] = BIN_REJECT if self._rejects(self._next, crossing_ns) else BIN_GOOD
                # The light barrier in the chute sees parts, not empty places.
                self._rejects_seen += bool(part["bin"][0] == BIN_REJECT and part["class_id"][0] != NO_PART)
            self._next += 1

    def _rejects(self, index: int, crossing_ns: int) -> bool:
        if crossing_ns < self._started_ns or not self._gate.alive(crossing_ns):
            return True
        if self._mode is PlcMode.TRACKED:
            return not self._queue.passes(index)
        return self._valve.blows(crossing_ns)

    def _drive_valve(self, now_ns: int) -> None:
        """The coil, or a lease that has run out."""
        past = self._gate.past_lease(self._belt.encoder_count(now_ns))
        self._valve.coil(self.coils[EJECTOR_COIL] or past > 0, now_ns)

    def _end_lease(self, now_ns: int) -> None:
        """Air from the scan on that found the lease run out.

        This process may be held up, the PLC that it stands for is not: the time is that of the belt.
        """
        past = self._gate.past_lease(self._belt.encoder_count(now_ns))
        if self._world is None or past <= 0:
            return
        end_mm = self._world.position_mm(now_ns) - past / self._world.counts_per_mm
        self._valve.coil(True, min(now_ns, self._world.time_at_ns(end_mm) + SCAN_NS))

    def _refresh(self, now_ns: int) -> None:
        state = PlcState.RUNNING if self._gate.alive(now_ns) else PlcState.DIVERTING
        values = {
            "plc_heartbeat": self._scans & 0xFFFF,
            "state": state,
            "mode": self._mode,
            "speed": min(0xFFFF, round(self._belt.speed_m_per_s(now_ns) * 1000)),
            "encoder": self._belt.encoder_count(now_ns) & 0xFFFFFFFF,
            "last_sequence": self._queue.last_sequence,
        }
        self.registers[PLC_BASE : PLC_BASE + PLC.words] = encode(PLC, values)
        control = {
            "control_bits": 0,
            "recipe_request": self._changeovers.request,
            "results_ack": self._handshake["inspection_id"],
            "rejects_seen": self._rejects_seen & 0xFFFFFFFF,
            "triggers_seen": self._triggers_seen(now_ns),
        }
        self.registers[CONTROL_BASE : CONTROL_BASE + CONTROL.words] = encode(CONTROL, control)

    def _triggers_seen(self, now_ns: int) -> int:
        """Parts that have passed the camera, by the PLC's own sensor beside it; 0 without a belt with parts."""
        if self._world is None or not self._world.running:
            return 0
        return int(np.searchsorted(self._positions_mm, self._world.position_mm(now_ns)))


def serve(options: argparse.Namespace) -> None:
    """Runs until SIGTERM or SIGINT. Raises TwinError when the port is in use or the world cannot be read."""
    world = World.attach(options.world) if options.world else None
    changeovers = Changeovers(options.changeovers)
    plc = TwinPlc(
        world,
        PlcMode[options.mode.upper()],
        options.valve_lag_ms,
        time.monotonic_ns(),
        options.speed,
        changeovers=changeovers,
    )
    server = ModbusServer(plc, options.host, options.port)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda which, _frame: stopping.append(which))
    gc.freeze()
    gc.disable()
    set_fifo_priority(FIFO_PRIORITY)
    print(f"ready port={server.port}", flush=True)
    while not stopping:
        server.step(SCAN_NS / 1e9)
        plc.scan(time.monotonic_ns())
    server.close()
    if options.changeover_report:
        write_whole(options.changeover_report, json.dumps(changeovers.done))


def main(arguments: list[str]) -> int:
    """``python -m tools.twin plc``."""
    parser = argparse.ArgumentParser(prog="twin plc", description=__doc__)
    parser.add_argument("--port", type=int, default=5020, help="0: any free port, told on standard output")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--world", type=Path, help="file that holds the belt and its parts")
    parser.add_argument("--speed", default="1.2", help="m/s or a profile; for a PLC without a world")
    parser.add_argument("--mode", choices=["pulse", "tracked"], default="pulse", help="who fires the ejector")
    parser.add_argument("--changeovers", default="", help="seconds:number,…: recipes that are asked for")
    parser.add_argument("--changeover-report", type=Path, help="JSON to write at the end: asked, active")
    parser.add_argument("--valve-lag-ms", type=float, default=8.0, help="from the coil to air at the nozzle")
    try:
        serve(parser.parse_args(arguments))
    except EdgeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
