"""The gate against the PLC on libmodbus: ``python -m benchmarks.plc [latency|ramp|heartbeat|reconnect|soak]``.

Needs what the tests of tests/peers need (Debian: libmodbus-dev). Prints one JSON object.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.shared import percentiles
from edge import _core
from edge._core import PlcResult, Verdict
from edge.conveyor.settings import ConveyorSettings
from edge.inspection.settings import RealtimeSettings
from edge.plc.link import ModbusTcpLink
from edge.plc.registers import PLC, PlcState, decode
from edge.plc.settings import PlcSettings
from tests.faults.bench import Counts, count, decided, proxy
from tests.peers.libmodbus_plc import Belt, LibmodbusPlc, libmodbus_plc
from tests.plc.line_rig import MS, Rig, rig, until

FIXED = ConveyorSettings(speed_source="fixed")
VALVE_LAG_MS = 8.0
NETWORK_FAULTS = (
    "mute",
    "half_open",
    "slow 5",
    "slow 20",
    "slow 200",
    "wrong_transaction",
    "wrong_unit",
    "exception",
    "refuse 32",
    "junk",
    "empty",
    "split",
    "rst",
    "reset_each",
    "syn",
)


@contextmanager
def busy_information_plane() -> Iterator[None]:
    """One process that never rests on every processor, at the low priority of the information plane."""
    command = ["nice", "-n", "10", sys.executable, "-c", "while True: sum(range(10000))"]
    processes = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def _as_the_loop() -> Iterator[None]:
    """This thread is the loop's stand-in, so it has the loop's priority where that is permitted."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(RealtimeSettings().priority))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def latency(folder: Path, verdicts: int = 4000) -> dict[str, Any]:
    """Verdict queued by inspection → acknowledged by the PLC, beside a busy information plane."""
    last_cpu = (os.cpu_count() or 1) - 1
    with (
        libmodbus_plc(folder, Belt(parts=0)) as plc,
        rig(folder, plc.port, conveyor=FIXED, cpus=(last_cpu,)) as line,
        busy_information_plane(),
        _as_the_loop(),
    ):
        until(lambda: line.status.line_ready == 1)
        records: list[Any] = []
        queued_ns: dict[int, int] = {}
        for part_id in range(1, verdicts + 1):
            _core.sleep_until_ns(_core.now_ns() + 5 * MS)
            # As the loop does when the gate begins.
            due_ns = _core.now_ns() + 2 * MS
            line.status.verdict_from_ns = due_ns - MS // 2
            line.status.verdict_until_ns = due_ns + MS // 2
            triggered_ns = line.trigger(part_id)
            _core.sleep_until_ns(due_ns)
            line.decide(part_id, Verdict.PASS, triggered_ns)
            queued_ns[part_id] = line.queued_ns
            if part_id % 200 == 0:
                records += line.final_records()
        until(lambda: line.status.parts_ended + line.status.parts_tracked >= verdicts)
        time.sleep(0.1)
        records += line.final_records()
    acked = [r for r in records if r["plc_result"] in {PlcResult.ACKED, PlcResult.LATE}]
    ms = [(int(r["ack_ns"]) - queued_ns[int(r["part_id"])]) / 1e6 for r in acked]
    write_ms = [(int(r["ack_ns"]) - int(r["sent_ns"])) / 1e6 for r in acked]
    taken_ms = [(int(r["queued_ns"]) - queued_ns[int(r["part_id"])]) / 1e6 for r in acked]
    made_ms = [(int(r["sent_ns"]) - int(r["queued_ns"])) / 1e6 for r in acked]
    return {
        "verdicts": verdicts,
        "acknowledged": len(acked),
        "queued_to_ack_ms": percentiles(ms, 0.5, 0.99, 0.999),
        "queued_to_taken_ms": percentiles(taken_ms, 0.5, 0.99, 0.999),
        "taken_to_sent_ms": percentiles(made_ms, 0.5, 0.99, 0.999),
        "sent_to_ack_ms": percentiles(write_ms, 0.5, 0.99, 0.999),
    }


def ramp(folder: Path, parts: int = 240) -> dict[str, Any]:
    """Where the middle of each pulse meets its part: 1.2 m/s, speed ramps of ±20 % within 2 s, encoder mode."""
    belt = Belt(parts=parts, pitch_mm=120, ramp=0.2, ramp_s=4.0)
    with libmodbus_plc(folder, belt) as plc, rig(folder, plc.port, handshake=True) as line:
        line.run_belt(plc, decided)
        until(lambda: line.status.parts_ended == parts)
        fates = plc.finish()
        start_ns = plc.start_ns
    targets = [
        belt.lead_in_mm + i * belt.pitch_mm + belt.distance_mm
        for i in range(parts)
        if decided(i + 1) is Verdict.REJECT
    ]
    at = [belt.position_mm((ns - start_ns) / 1e9 + VALVE_LAG_MS / 1000) for ns, _, _ in fates.edges]
    centres = [
        (begin + end) / 2
        for (begin, end), ((_, on, _), _) in zip(pairwise(at), pairwise(fates.edges), strict=True)
        if on
    ]
    errors = [min(abs(centre - target) for centre in centres) for target in targets]
    return {"pulses": len(targets), "position_error_mm": percentiles(errors, 0.5, 0.99)}


def heartbeat(folder: Path, times: int = 10) -> dict[str, Any]:
    """Runtime killed → the PLC diverts, and inspection hung → the PLC reads READY = 0; in periods of 50 ms."""
    diverting: list[float] = []
    told: list[float] = []
    # A belt whose one part never comes: without parts the PLC does not start, and never runs.
    with libmodbus_plc(folder, Belt(parts=1, lead_in_mm=1e9)) as plc:
        link = ModbusTcpLink(PlcSettings(kind="tcp", port=plc.port))
        until(lambda: link.service(time.monotonic_ns()) > 0 and link.is_open)

        def state() -> int:
            reply = link.read_registers(64, PLC.words, time.monotonic_ns() + 100 * MS)
            return decode(PLC, reply.registers)["state"]

        def ready() -> int:
            return link.read_registers(3, 1, time.monotonic_ns() + 100 * MS).registers[0] & 1

        for i in range(times):
            home = folder / str(i)
            home.mkdir()
            with rig(home, plc.port, conveyor=FIXED) as line:
                until(lambda: ready() == 1)
                time.sleep(random.uniform(1.1, 1.3))  # a leap of the heartbeat is distrusted for a second
                line.hang_inspection()
                hung = line.status.loop_beat_ns
                until(lambda: ready() == 0, every_s=0.001)
                told.append((time.monotonic_ns() - hung) / 50e6)
                until(lambda: state() == PlcState.RUNNING)
                line.process.send_signal(signal.SIGKILL)
                killed = time.monotonic_ns()
                until(lambda: state() != PlcState.RUNNING, every_s=0.001)
                diverting.append((time.monotonic_ns() - killed) / 50e6)
    return {
        "killed_to_diverting_periods": percentiles(diverting, 0.5),
        "inspection_hung_to_ready_gone_periods": percentiles(told, 0.5),
    }


def reconnect(folder: Path, times: int = 10) -> dict[str, Any]:
    """The PLC listens again → its first acknowledged request."""
    seconds: list[float] = []
    with libmodbus_plc(folder, Belt(parts=0)) as plc, rig(folder, plc.port, conveyor=FIXED) as line:
        for _ in range(times):
            until(lambda: line.status.plc_connected == 1)
            plc.process.kill()
            plc.process.wait()
            until(lambda: line.status.plc_connected == 0)
            time.sleep(random.uniform(0.5, 1.5))
            plc.start()
            back = time.monotonic()
            until(lambda: line.status.plc_connected == 1, every_s=0.001)
            seconds.append(time.monotonic() - back)
    return {"reconnect_s": percentiles(seconds, 0.5)}


def soak(folder: Path, parts: int = 100_000, mode: str = "tracked", seed: int = 1) -> dict[str, Any]:
    """A network that fails at random, and everything else five times as fast as in the demo: belt, scan, pulses.

    The PLC on libmodbus says where every part fell.
    """
    belt = Belt(parts=parts, pitch_mm=40, m_per_s=6.0, ramp=0.1, ramp_s=10, distance_mm=1500, lead_in_mm=1500)
    conveyor = ConveyorSettings(m_per_s=6.0, max_m_per_s=10.0)
    ejector = {"camera_to_ejector_mm": 1500, "pulse_mm": 36, "min_pulse_mm": 20}
    with (
        libmodbus_plc(folder, belt, f"--mode={mode}", "--scan-ms=1") as plc,
        proxy(plc.port) as network,
        rig(folder, network.port, conveyor=conveyor, mode=mode, handshake=True, ejector=ejector) as line,
    ):
        over = threading.Event()
        faults: dict[str, int] = {}

        def spoil() -> None:
            choose = random.Random(seed)
            while not over.wait(choose.uniform(0.5, 4.0)):
                fault = choose.choice(NETWORK_FAULTS)
                faults[fault] = faults.get(fault, 0) + 1
                network.say(fault)
                over.wait(choose.uniform(0.05, 1.5))
                network.say("pass")

        plc.start_ns  # noqa: B018  (waits until the belt runs)
        spoiler = threading.Thread(target=spoil, daemon=True)
        spoiler.start()
        records = _run_belt(line, plc)
        over.set()
        spoiler.join()
        # Where parts are missing, the counts say how many and not this wait.
        with suppress(AssertionError):
            until(lambda: line.status.parts_ended >= parts, 5)
        records += line.final_records()
        facts = {
            "ended": line.status.parts_ended,
            "unconfirmed": line.status.plc_unconfirmed,
            "reconnects": line.status.plc_reconnects,
            "faults": sum(faults.values()),
        }
        line.finish()
        records += line.final_records()
        fates = plc.finish()
    counts: Counts = count({part.part_id: part.bin for part in fates.parts}, records, facts)
    return {"mode": mode, "seed": seed, "sound": counts.sound, **counts.as_dict()}


def _run_belt(line: Rig, plc: LibmodbusPlc) -> list[Any]:
    # The sensor that this thread stands for is never held up.
    _core.set_fifo_priority(75)
    records: list[Any] = []
    step = max(1, len(plc.parts) // 20)
    for index, part in enumerate(plc.parts):
        when_ns = plc.time_at_ns(part["position_mm"])
        _core.sleep_until_ns(when_ns)
        line.trigger(index + 1, plc.encoder_count(when_ns), when_ns)
        _core.sleep_until_ns(when_ns + 3 * MS)
        line.decide(index + 1, decided(index + 1), when_ns)
        if index % 200 == 0:
            records += line.final_records()
        if (index + 1) % step == 0:
            print(f"{index + 1} of {len(plc.parts)} parts", file=sys.stderr, flush=True)
    return records


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "latency": latency,
    "ramp": ramp,
    "heartbeat": heartbeat,
    "reconnect": reconnect,
    "soak": soak,
}


def main() -> int:
    """Runs what is asked for; without a name everything but the soak."""
    parser = argparse.ArgumentParser(prog="benchmarks.plc", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*PARTS, []], help="default: all but soak")
    parser.add_argument("--parts", type=int, default=100_000, help="of the soak")
    parser.add_argument("--mode", choices=["pulse", "tracked"], default="tracked", help="of the soak")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report: dict[str, Any] = {}
    for name in options.what or [name for name in PARTS if name != "soak"]:
        with tempfile.TemporaryDirectory() as folder:
            more = vars(options) if name == "soak" else {}
            arguments = {key: more[key] for key in ("parts", "mode", "seed") if key in more}
            report[name] = PARTS[name](Path(folder), **arguments)
        print(f"{name}: {json.dumps(report[name])}", file=sys.stderr, flush=True)
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
