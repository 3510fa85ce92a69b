"""Parts that are finished at once, in a ring file, and the journal that takes them."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from edge import _core
from edge._core import PlcResult, Reason, Verdict
from edge.errors import RecordError
from edge.records.journal.query import Filter, JournalReader
from edge.records.journal.settings import JournalSettings
from edge.records.journal.store import RunFacts
from edge.records.journal.writer import JournalWriter
from edge.report.settings import ReportConfig

FACTS = RunFacts("line1", ("no_part", "flawless", "crack"), "abc", "0.1")
SETTINGS = JournalSettings()
FAR_NS = 2**62


class Source:
    """A ring file, and parts that are finished at once."""

    def __init__(self, folder: Path, capacity: int = 4096) -> None:
        self.path = folder / "ring"
        self.ring = _core.RecordRing.create(str(self.path), capacity=capacity)
        self.next = 1

    def add(self, count: int, reason: Reason = Reason.NO_VERDICT) -> None:
        for _ in range(count):
            now = _core.now_ns()
            index = self.ring.append_unjudged(
                part_id=self.next, encoder_count=self.next * 10, triggered_ns=now, deadline_ns=now + 1
            )
            self.ring.acknowledge(
                index,
                verdict=Verdict.REJECT,
                reason=reason,
                result=PlcResult.ACKED,
                queued_ns=now + 1_000_000,
                sent_ns=now + 2_000_000,
                ack_ns=now + 3_000_000,
            )
            self.next += 1


def journal_of(
    source: Source, path: Path, settings: JournalSettings = SETTINGS, facts: RunFacts = FACTS
) -> JournalWriter:
    return JournalWriter(source.ring, settings, path, facts)


def part_ids(path: Path) -> list[int]:
    with JournalReader(path) as reader:
        return [part["part_id"] for part in reader.parts(Filter())]


def reporting_process(folder: Path, source: Source, region: Path, path: Path) -> subprocess.Popen[bytes]:
    config = folder / "report.json"
    told = ReportConfig(
        line="x",
        classes=FACTS.classes,
        config_sha256="a",
        journal=SETTINGS,
        journal_path=path,
        live_path=folder / "live.json",
    )
    config.write_text(told.model_dump_json())
    command = [
        "-m",
        "edge.report.process",
        "--region",
        str(region),
        "--records",
        str(source.path),
        "--config",
        str(config),
    ]
    return subprocess.Popen([sys.executable, *command])


def kept(path: Path) -> int:
    try:
        with JournalReader(path) as reader:
            return int(reader.counts()["parts"])
    except (RecordError, sqlite3.Error):
        return 0
