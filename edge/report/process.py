"""The reporting process: ``python -m edge.report.process --region PATH --records PATH --config FILE.json``.

Low priority, no deadline, may be killed at any time: the ring keeps what it has not read yet.
"""

import argparse
import ctypes
import logging
import os
import platform
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from edge._core import CoreError, RecordRing, Region, now_ns
from edge.errors import EdgeError, RegionError
from edge.records.archive.sink import ArchiveSink
from edge.records.journal.store import RunFacts
from edge.records.journal.writer import JournalWriter
from edge.report.continuous import ContinuousProfile
from edge.report.exposure import ExposureEvents
from edge.report.metrics import Metrics
from edge.report.settings import ReportConfig, ReportSettings
from edge.report.sinks import Guarded
from edge.report.taken_back import TakenBackEvents
from edge.service.doctor.host import Host
from edge.service.notify import Notifier
from edge.service.telemetry.alarms import Note
from edge.service.telemetry.jtop import Jtop, SensorsAndJtop
from edge.service.telemetry.sensors import Sensors
from edge.service.telemetry.sink import Source, Telemetry
from edge.version import __version__
from engines.audit import FILE_NAME as AUDIT
from engines.audit import AuditLog

log = logging.getLogger("edge.report")

PERIOD_S = 0.05
BATCH = 1024
_NICE = 10
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IDLE_CLASS = 3 << 13


def make_sinks(config: ReportConfig, region: Region, records: RecordRing) -> list[Guarded]:
    """What the line file asks for. Raises EdgeError: a journal that cannot be opened must be seen at the start."""
    sinks: list[Guarded] = []
    note: Note = _nowhere
    writer: JournalWriter | None = None
    if config.journal is not None and config.journal_path is not None:
        facts = RunFacts(config.line, config.classes, config.config_sha256, __version__, config.stored)
        writer = JournalWriter(records, config.journal, config.journal_path, facts)
        note = writer.note
        _audit_config(config, config.journal_path.parent / AUDIT)
        sinks.append(Guarded("journal", writer))
        sinks.append(Guarded("recipes", TakenBackEvents(region.status, config.recipes, note)))
        sinks.append(Guarded("exposure", ExposureEvents(region.status, note)))
    if config.archive is not None and config.archive_path is not None:
        archive = ArchiveSink(
            region, records, config.archive, config.archive_path, classes=config.classes, note=note
        )
        sinks.append(Guarded("archive", archive))
    telemetry = Telemetry(_source(config.report), Host(), note) if config.report.telemetry else None
    if telemetry is not None:
        sinks.append(Guarded("telemetry", telemetry))
    if config.report.wanted:
        profile = ContinuousProfile(config.line, config.live_path, telemetry.beside if telemetry else None)
        sinks.append(Guarded("profile", profile))
        if config.report.metrics is not None:
            metrics = Metrics(config.report.metrics, profile, region.status, telemetry, writer)
            log.info("metrics on http://%s:%d/metrics", config.report.metrics.host, metrics.port)
            sinks.append(Guarded("metrics", metrics))
    return sinks


def _source(settings: ReportSettings) -> Source:
    return SensorsAndJtop(Sensors(), Jtop()) if settings.jtop else Sensors()


def _audit_config(config: ReportConfig, path: Path) -> None:
    audit = AuditLog(path)
    try:
        last = audit.last("config", config.line)
        before = last["after"] if last else None
        if before != config.config_sha256:
            audit.append("config", config.line, before=before, after=config.config_sha256)
    except OSError as error:
        log.error("%s: the change of the configuration cannot be noted: %s", path, error.strerror)


def _nowhere(kind: str, text: str, at_ns: int | None = None) -> None:
    """Without a journal an alarm is only logged."""


def report(region: Region, records: RecordRing, sinks: list[Guarded], ended: threading.Event) -> None:
    """Until the line stops or somebody ends the process."""
    notifier = Notifier.from_environment()
    reader = records.reader()
    journal = _journal_of(sinks)
    while True:
        over = ended.is_set() or _line_is_over(region)
        while len(batch := reader.read(BATCH)):
            for sink in sinks:
                sink.add(batch)
        for sink in sinks:
            sink.tick(now_ns())
        if journal is not None:
            journal.publish(region.status)
        if notifier.follow(now_ns()):
            notifier.say(f"{len(sinks)} sinks, {reader.lost} records lost before they were read")
        if over:
            break
        ended.wait(PERIOD_S)
    notifier.stopping()
    for sink in sinks:
        sink.close()


def _journal_of(sinks: Sequence[Guarded]) -> JournalWriter | None:
    return next((each.sink for each in sinks if isinstance(each.sink, JournalWriter)), None)


def _line_is_over(region: Region) -> bool:
    """Not before actuation has finished the last parts."""
    return bool(region.status.stop) and not region.status.actuation_ready


def lower_priority() -> None:
    """Processor and disk: everything else comes first."""
    os.nice(_NICE)
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None).syscall(number, 1, 0, _IDLE_CLASS)


def main(arguments: list[str] | None = None) -> int:
    """Runs one line's reporting until SIGTERM, SIGINT or the line's stop."""
    parser = argparse.ArgumentParser(prog="edge.report.process", description=__doc__)
    for name in ("region", "records", "config"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        config = ReportConfig.load(options.config)
        try:
            region, records = Region.attach(str(options.region)), RecordRing.attach(str(options.records))
        except CoreError as error:
            raise RegionError(str(error)) from error
        lower_priority()
        sinks = make_sinks(config, region, records)
        report(region, records, sinks, ended)
    except EdgeError as error:
        print(f"reporting: {error}", file=sys.stderr, flush=True)
        return 2
    journal = _journal_of(sinks)
    # Whoever started it may try once more while the ring is there.
    return int(journal is not None and journal.paused)


if __name__ == "__main__":
    sys.exit(main())
