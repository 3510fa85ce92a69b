"""What a row of the fault matrix is made of: a gate that judges, a spoiled link, and the counts that decide."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge._core import PlcResult, Verdict
from tests.peers.libmodbus_plc import GOOD, REJECT_BIN, Belt, LibmodbusPlc, libmodbus_plc
from tests.plc.line_rig import Rig, rig, until

BELT = Belt(parts=30, pitch_mm=90)


@dataclass(frozen=True)
class Counts:
    """Of one row. Every part has one verdict, and no part that was rejected lies among the good ones."""

    parts: int
    verdicts: int
    """Parts with exactly one final verdict in their records."""
    escapes_caused: int
    """Parts in the good bin that inspection or the record rejected."""
    unsorted: int
    """Parts that fell into no bin."""
    good_bin: int
    reject_bin: int
    facts: Mapping[str, int] = field(default_factory=dict)
    """What shows that the fault took place."""

    @property
    def sound(self) -> bool:
        """What every row asserts."""
        return self.parts == self.verdicts and self.escapes_caused == 0 and self.unsorted == 0

    def as_dict(self) -> dict[str, int]:
        """For the report."""
        counts = {name: value for name, value in vars(self).items() if name != "facts"}
        return {**counts, **self.facts}


def decided(part_id: int) -> Verdict:
    """What the stand-in for inspection says: every third part is defective."""
    return Verdict.REJECT if part_id % 3 == 0 else Verdict.PASS


def count(
    bins: Mapping[int, int], records: list[Any], facts: Mapping[str, int], unseen: range = range(0)
) -> Counts:
    """``bins``: part id → bin; ``records``: finished part records.

    A part that the camera never saw has no record; the reject bin is its verdict.
    """
    finals = [r for r in records if r["plc_result"] != PlcResult.SUPERSEDED]
    of_part = Counter(int(r["part_id"]) for r in finals)
    rejected = {int(r["part_id"]) for r in finals if r["final_verdict"] != Verdict.PASS}
    rejected |= {part for part in bins if decided(part) is Verdict.REJECT or part in unseen}
    return Counts(
        parts=len(bins),
        verdicts=sum(of_part[part] == 1 or (part in unseen and bins[part] == REJECT_BIN) for part in bins),
        escapes_caused=sum(bins[part] == GOOD for part in rejected if part in bins),
        unsorted=sum(place not in {GOOD, REJECT_BIN} for place in bins.values()),
        good_bin=sum(place == GOOD for place in bins.values()),
        reject_bin=sum(place == REJECT_BIN for place in bins.values()),
        facts=facts,
    )


class Proxy:
    """``tests.faults.proxy`` as a process."""

    def __init__(self, target: int) -> None:
        command = [sys.executable, "-m", "tests.faults.proxy", "--target", str(target)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split("=")[1])

    def say(self, command: str) -> None:
        """Returns when the network behaves so."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n"


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A running proxy in front of a port."""
    running = Proxy(target)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@dataclass
class LinkBench:
    """A line, a spoiled network, a PLC on libmodbus."""

    line: Rig
    plc: LibmodbusPlc
    proxy: Proxy | None = None

    def say(self, command: str) -> None:
        """To the proxy."""
        assert self.proxy is not None
        self.proxy.say(command)

    def run(
        self, at: Mapping[int, Callable[[], None]], unseen: range = range(0), budget_ms: float = 15.0
    ) -> Counts:
        """Runs the belt; ``at``: part id → what happens before its verdict; ``unseen``: parts without a trigger."""

        def verdict(part_id: int) -> Verdict:
            at.get(part_id, lambda: None)()
            return decided(part_id)

        self.line.run_belt(self.plc, verdict, unseen, budget_ms)
        until(lambda: self.line.status.parts_ended == self.plc.belt.parts - len(unseen))
        status = self.line.status
        facts = {
            "acknowledged": status.plc_writes,
            "unconfirmed": status.plc_unconfirmed,
            "reconnects": status.plc_reconnects,
        }
        self.line.finish()
        until(self._all_crossed)
        fates = self.plc.finish()
        facts["heartbeat_jumps"] = fates.jumps
        bins = {part.part_id: part.bin for part in fates.parts}
        return count(bins, self.line.final_records(), facts, unseen)

    def _all_crossed(self) -> bool:
        last = self.plc.parts[-1]["position_mm"] + self.plc.belt.distance_mm
        return time.monotonic_ns() > self.plc.time_at_ns(last) + 50_000_000


@contextmanager
def link_bench(
    folder: Path, mode: str, *options: str, belt: Belt = BELT, **plc_settings: object
) -> Iterator[LinkBench]:
    """Everything running, the belt about to start."""
    settings = {"mode": mode, "handshake": True, **plc_settings}
    with (
        libmodbus_plc(folder, belt, f"--mode={mode}", *options) as plc,
        proxy(plc.port) as spoiler,
        rig(folder, spoiler.port, **settings) as line,
    ):
        yield LinkBench(line, plc, spoiler)
