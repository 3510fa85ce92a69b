"""The fault matrix: one row, one fault, its counts."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from edge._core import Verdict
from tests.faults.bench import BELT, Counts, LinkBench, count, decided, link_bench, proxy
from tests.peers.libmodbus_plc import libmodbus_plc
from tests.plc.line_rig import Rig, make_world, rig, twin, until
from tests.plc.pty_pair import pty_pair
from tests.test_line import Bench, parts_decided, wait_for

FIRST, LAST = 10, 20
"""The parts between which a fault lasts."""
IN_REGISTER: dict[str, object] = {"coil_function": 16, "ejector": {"coil": 100}}
WORD_BY_WORD: dict[str, object] = {"write_function": 6, "handshake": False}


@dataclass(frozen=True)
class Row:
    """A fault, and what must have been seen for the row to mean anything."""

    name: str
    run: Callable[[Path], Counts]
    evidence: Callable[[Counts], bool]


def network(name: str, mode: str, evidence: Callable[[Counts], bool], last: int = LAST) -> Row:
    """A fault of the network from part FIRST to part ``last``."""

    def run(folder: Path) -> Counts:
        with link_bench(folder, mode) as bench:
            return bench.run({FIRST: lambda: bench.say(name), last: lambda: bench.say("pass")})

    return Row(f"{name.replace(' ', '_')}_{mode}", run, evidence)


def lost(counts: Counts) -> bool:
    """Verdicts went unconfirmed, the link came back, and afterwards parts passed again."""
    return counts.facts["unconfirmed"] > 0 and counts.facts["reconnects"] > 0 and counts.good_bin > 5


def refused(counts: Counts) -> bool:
    """Verdicts were refused on a living connection."""
    return counts.facts["unconfirmed"] > 0 and counts.good_bin > 5


def reconnected(counts: Counts) -> bool:
    """The link was lost and came back."""
    return counts.facts["reconnects"] > 0 and counts.good_bin > 5


def harmless(counts: Counts) -> bool:
    """Next to nothing had to be given up: two of three parts are to pass."""
    return counts.facts["unconfirmed"] <= 2 and counts.good_bin >= counts.parts * 2 // 3 - 2


def rejected_more(counts: Counts) -> bool:
    """Everything was rejected for a while, and afterwards parts passed again."""
    return counts.reject_bin > counts.parts // 3 + 4 and counts.good_bin > 5


def two_masters_seen(counts: Counts) -> bool:
    """The PLC saw heartbeats of two, and rejected."""
    return counts.facts["heartbeat_jumps"] > 0 and rejected_more(counts)


def encoder(fault: str, until_s: float) -> Row:
    """The encoder of the PLC is broken from 0.9 s on."""

    def run(folder: Path) -> Counts:
        options = (f"--encoder-fault={fault}", "--fault-from=0.9", f"--fault-to={until_s}")
        with link_bench(folder, "pulse", *options) as bench:
            return bench.run({})

    return Row(f"encoder_{fault}", run, rejected_more)


def habit(name: str, mode: str, options: tuple[str, ...], last: int = LAST, **settings: object) -> Row:
    """A PLC program of other habits, whose link is lost once, from part FIRST to part ``last``."""

    def run(folder: Path) -> Counts:
        with link_bench(folder, mode, *options, **settings) as bench:
            return bench.run({FIRST: lambda: bench.say("mute"), last: lambda: bench.say("pass")})

    return Row(f"{name}_{mode}", run, lost)


def answered_at_scan(mode: str, scan_ms: int) -> Row:
    """A PLC that answers one request a scan; the line was told so, and gives its parts the way for it."""
    settings = {"timeout_ms": 3 * scan_ms, "poll_period_ms": 80}

    def run(folder: Path) -> Counts:
        options = (f"--scan-ms={scan_ms}", "--answer-at-scan")
        with link_bench(folder, mode, *options, **settings) as bench:
            return bench.run({}, budget_ms=3 * scan_ms)

    return Row(f"answered_at_scan_{scan_ms}_{mode}", run, harmless)


def two_masters(folder: Path) -> Counts:
    """A second runtime for the same PLC, by mistake: its cable is plugged in, and later it is ended."""
    (folder / "other").mkdir()
    # The line stays closed for two seconds after the last trace of the other, 27 parts.
    belt = replace(BELT, parts=70)
    with (
        link_bench(folder, "pulse", belt=belt) as bench,
        proxy(bench.plc.port) as cable,
        ExitStack() as other,
    ):
        cable.say("half_open")
        plc = bench.line.config.plc.model_copy(update={"port": cable.port})
        second = Rig(folder / "other", bench.line.config.model_copy(update={"plc": plc}))
        other.callback(second.close)
        until(lambda: second.status.actuation_ready == 1)
        at = {1: lambda: cable.say("pass"), 20: lambda: threading.Thread(target=other.close).start()}
        return bench.run(at)


def serial_cable(folder: Path) -> Counts:
    """RTU: the adapter is pulled out and put back."""
    with (
        pty_pair(folder) as pair,
        libmodbus_plc(folder, BELT, f"--rtu={pair.theirs}") as plc,
        rig(
            folder,
            502,
            kind="rtu",
            serial={"port": str(pair.ours)},
            handshake=True,
        ) as line,
    ):
        return LinkBench(line, plc).run({FIRST: pair.pull, LAST: pair.put})


def plc_restart_in_mid_pulse(folder: Path) -> Counts:
    """The PLC loses power while the ejector blows, and is back a second later, or two where processes start slowly."""
    world = make_world(folder, 44)
    with twin(folder / "world") as plc, rig(folder, plc.port) as line:

        def verdict(part_id: int) -> Verdict:
            if part_id == 12:
                part = world.parts[5]  # part 6, a reject: kill when it is 10 mm before the nozzle
                at = float(part["position_mm"]) + world.camera_to_ejector_mm - 10
                when_ns = world.time_at_ns(at)
                delay_s = max(0.0, (when_ns - time.monotonic_ns()) / 1e9)
                threading.Timer(delay_s, plc.kill).start()
            if part_id == 18:
                threading.Thread(target=plc.start).start()
            return decided(part_id)

        until(lambda: world.running)
        line.run_belt(world, verdict)
        until(lambda: line.status.parts_ended == 44)
        until(lambda: bool(world.parts["bin"].all()))
        status = line.status
        facts = {"unconfirmed": status.plc_unconfirmed, "reconnects": status.plc_reconnects}
        line.finish()
        bins = {i + 1: int(part["bin"]) for i, part in enumerate(world.parts)}
        return count(bins, line.final_records(), facts)


def camera_killed(folder: Path) -> Counts:
    """The camera process dies without a word: parts pass that nobody announces, until it is back."""
    with link_bench(folder, "pulse") as bench:
        line = bench.line
        revived = {21: line.revive_camera}
        return bench.run({10: line.kill_camera, **revived}, unseen=range(11, 21))


def inspection(name: str, harm: Callable[[int], None]) -> Row:
    """A whole line with its engines; ``harm`` gets the process id of inspection."""

    def run(folder: Path) -> Counts:
        bench = Bench(folder)
        process = bench.start("demo", "--parts", "70", "--seed", "5", "--report", "r.json")
        try:
            wait_for(lambda: parts_decided(bench) >= 10)
            harm(bench.pid_of("edge.inspection.process"))
            output, _ = process.communicate(timeout=90)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0, output
        report = bench.report()
        verdicts, bins = report["verdicts"], report["bins"]
        return Counts(
            parts=70,
            verdicts=sum(verdicts.values()) - report["duplicate_verdicts"],
            escapes_caused=bins["missed"],
            unsorted=bins["unknown"],
            good_bin=verdicts["pass"],
            reject_bin=verdicts["reject"],
            facts={
                "no_verdict": report["reasons"].get("no_verdict", 0),
                "late": report["reasons"].get("overrun", 0) + report["reasons"].get("no_time", 0),
            },
        )

    return Row(f"inspection_{name}", run, without_verdict)


def without_verdict(counts: Counts) -> bool:
    """Inspection gave none, or none in time."""
    return sum(counts.facts.values()) > 0


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)


def stop(pid: int) -> None:
    """Stopped for a second."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.0)
    os.kill(pid, signal.SIGCONT)


def slow(pid: int) -> None:
    """For two seconds it runs a third of the time."""
    for _ in range(20):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.07)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.03)


ROWS = [
    network("mute", "pulse", lost),
    network("mute", "tracked", lost),
    network("slow 5", "pulse", harmless),
    network("slow 20", "pulse", lost),
    network("slow 200", "pulse", lost),
    network("slow 20", "tracked", lost),
    network("wrong_transaction", "tracked", lost),
    network("wrong_unit", "tracked", lost),
    network("exception", "pulse", refused),
    network("refuse 32", "pulse", refused),
    network("refuse 32", "tracked", refused),
    network("unread", "pulse", rejected_more),
    network("unread", "tracked", rejected_more),
    network("junk", "tracked", lost),
    network("empty", "tracked", lost),
    network("split", "pulse", harmless),
    network("rst", "pulse", reconnected),
    network("reset_each", "pulse", reconnected),
    network("half_open", "pulse", lost),
    network("half_open", "tracked", lost),
    network("syn", "pulse", lost),
    network("syn", "tracked", lost),
    network("reset_each", "tracked", reconnected),
    habit("only_16", "pulse", ("--refuse=5,6,15,1", "--ejector-register=100"), **IN_REGISTER),
    habit("only_16", "tracked", ("--refuse=1,2,5,6,15",)),
    habit("only_6", "tracked", ("--refuse=1,5,15,16",), last=14, **WORD_BY_WORD),
    habit("cleared_by_a_new_master", "pulse", ("--clear",)),
    habit("cleared_by_a_new_master", "tracked", ("--clear",)),
    habit("slow_first_answer", "pulse", ("--first-answer-ms=100",)),
    habit("one_master_never_idle", "pulse", ("--one-master", "--idle-ms=1000")),
    answered_at_scan("tracked", 20),
    Row("plc_restart_in_mid_pulse", plc_restart_in_mid_pulse, lost),
    inspection("killed", kill),
    inspection("stopped", stop),
    inspection("slowed", slow),
    Row("camera_killed", camera_killed, rejected_more),
    encoder("lost", 1.5),
    encoder("noisy", 1.5),
    encoder("reversed", 1.2),
    Row("serial_cable_pulled", serial_cable, lost),
    Row("two_masters", two_masters, two_masters_seen),
]
