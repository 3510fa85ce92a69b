"""What records cost, and what they survive: ``python -m benchmarks.records [size|kills]``. Prints one JSON object."""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.shared import demo_line
from edge.line import Line, RunningLine, RunOptions, TwinRequest
from edge.records.journal.query import Filter, JournalReader
from edge.report.build import build_report
from edge.service.memory import MemoryWatch

PARTS_PER_S = 60
_MIB = 2**20


def run_demo(folder: Path, parts: int, *, journal: bool, kill_every_s: float | None = None) -> dict[str, Any]:
    """One demo line; ``kill_every_s``: its reporting process is killed so often while parts pass."""
    records = {"records": {"journal": {"path": str(folder / "journal.sqlite")}}} if journal else {}
    config = demo_line(folder, **records)
    memory, kills, due = MemoryWatch(), 0, 0.0

    def tick(running: RunningLine) -> None:
        nonlocal kills, due
        memory.sample(running.pids, running.seconds)
        child = next((child for child in line._group.children if child.name == "report"), None)
        if (
            kill_every_s is None
            or child is None
            or not running.collector.parts
            or child.exit_code is not None
        ):
            return
        if running.seconds >= due and child.process is not None:
            due = running.seconds + kill_every_s
            child.process.send_signal(signal.SIGKILL)
            child._pause_s = 0.05  # the growing pause is for what dies by itself
            kills += 1

    with Line(config, RunOptions(twin=TwinRequest(parts=parts, seed=5)), lambda _text: None) as line:
        line.run(tick)
        report = build_report(line.running, line.labels(), memory.summary())
    found = {
        "parts": report.parts,
        "verdicts": sum(report.verdicts.model_dump().values()),
        "overruns": report.overruns,
        "latency_ms": report.latency_ms.model_dump(),
        "kills": kills,
    }
    if journal:
        with JournalReader(folder / "journal.sqlite") as reader:
            kept = [part["part_id"] for part in reader.parts(Filter()) if part["plc_result"] != "superseded"]
            lost = reader.counts()["lost_records"]
        found["journal"] = {
            "parts": len(kept),
            "twice": len(kept) - len(set(kept)),
            "missing": report.parts - len(set(kept)),
            "lost": lost,
        }
    return found


def size(folder: Path, parts: int) -> dict[str, Any]:
    """Bytes of a part in the journal, and what a day at 60 parts/s needs."""
    run_demo(folder, parts, journal=True)
    file = folder / "journal.sqlite"
    with JournalReader(file) as reader:
        kept = reader.counts()["parts"]
    per_part = file.stat().st_size / kept
    return {
        "parts": kept,
        "bytes_per_part": round(per_part, 1),
        "day_at_60_per_s_mib": round(per_part * PARTS_PER_S * 86_400 / _MIB),
    }


def kills(folder: Path, parts: int) -> dict[str, Any]:
    """Alternating: the reporting process left alone, and killed about every 0.4 s."""
    runs: dict[str, list[dict[str, Any]]] = {"undisturbed": [], "killed": []}
    for number in range(2):
        for name, every_s in (("undisturbed", None), ("killed", 0.4)):
            place = folder / f"{name}{number}"
            place.mkdir()
            runs[name].append(run_demo(place, parts, journal=True, kill_every_s=every_s))
            print(f"{name}: {json.dumps(runs[name][-1])}", file=sys.stderr, flush=True)
    return runs


BENCHES: dict[str, Callable[[Path, int], dict[str, Any]]] = {"size": size, "kills": kills}


def main() -> int:
    """Runs what is asked for; without a name all of it."""
    parser = argparse.ArgumentParser(prog="benchmarks.records", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*BENCHES, []])
    parser.add_argument("--parts", type=int, default=650)
    options = parser.parse_args()
    report: dict[str, Any] = {"at": time.strftime("%Y-%m-%d %H:%M")}
    for name in options.what or BENCHES:
        with tempfile.TemporaryDirectory() as folder:
            report[name] = BENCHES[name](Path(folder), options.parts)
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
