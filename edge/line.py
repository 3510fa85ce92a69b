"""Composition root: one line from its configuration, its processes, and what is read back while it runs."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from edge import _core
from edge.camera.labels import Labels
from edge.camera.settings import GenicamSettings, GstreamerSettings, TwinSettings, VideoSettings
from edge.config import LineConfig
from edge.errors import TwinError
from edge.inspection.certificate import HOLDS, NONE
from edge.records.recording import Recorder, RunFacts
from edge.report.collector import Collector
from edge.roles import Meeting, engine_hashes, gate_manifest, role_settings, standing_by
from edge.service.lock import own_folder, take_lock
from edge.service.machine import CpuPlan
from edge.service.processes import Child, ProcessGroup
from edge.twin import TwinProcess, TwinRequest
from engines.manifest import EngineManifest

_TICK_S = 0.05
_JOURNAL_LIMIT_S = 20.0
"""After the end of the line, until the reporting process has written the rest; a full disk must not hold up the end."""
_DRAIN_LIMIT_S = 5.0
"""After the last part nothing may take longer than this; what is missing then is reported as missing."""


@dataclass(frozen=True)
class RunOptions:
    """What the command line adds to a line file."""

    twin: TwinRequest | None = None
    record_to: Path | None = None
    ignore_deadlines: bool = False
    on_records: Callable[[NDArray[np.void]], None] | None = None
    """Gets every batch of finished part records."""


@dataclass
class RunningLine:
    """What a view may look at while the line runs."""

    config: LineConfig
    region: _core.Region
    collector: Collector
    manifest: EngineManifest
    twin: TwinProcess | None
    seconds: float = 0.0
    lost_records: int = 0
    restarts: dict[str, int] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    certificate: str = NONE
    """``none``, ``holds`` or what does not match."""

    @property
    def status(self) -> _core.LineStatus:
        """The shared counters."""
        return self.region.status


class Line:
    """Starts the processes of a line and ends them in the right order. Use as a context manager."""

    def __init__(self, config: LineConfig, options: RunOptions, say: Callable[[str], None]) -> None:
        self.config = config
        self._options = options
        self._say = say
        self._folder = run_folder(config.name)
        self._meeting = Meeting.of(config, self._folder)
        self._lock: IO[bytes] | None = None
        self._group = ProcessGroup(say)
        self._stop_asked = False
        self._recorder: Recorder | None = None
        self.running: RunningLine

    def __enter__(self) -> "Line":
        manifest = gate_manifest(self.config)
        own_folder(self._folder)
        mend = "stop it first, or give this line another name"
        self._lock = take_lock(self._folder / "lock", f"line '{self.config.name}'", mend)
        region, self._records = self._meeting.create(self.config)
        self._reader = self._records.reader()
        keep = not isinstance(self.config.camera, VideoSettings | GenicamSettings | GstreamerSettings)
        self.running = RunningLine(self.config, region, Collector(keep_finals=keep), manifest, None)
        self.running.certificate = self.config.certificate_state(engine_hashes(self.config))
        if self.running.certificate not in (NONE, HOLDS):
            self._say(f"certificate {self.running.certificate}; run: edge calibrate thresholds")
        try:
            self._start_children()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def ask_to_stop(self) -> None:
        """What a signal handler calls: the line drains and ends."""
        self._stop_asked = True

    def run(self, tick: Callable[[RunningLine], None]) -> None:
        """Runs until the camera has shown its last frame or somebody asks to stop; ``tick`` is called at 20 Hz."""
        started = time.monotonic()
        draining_since: float | None = None
        status = self.running.status
        while not self._stop_asked:
            time.sleep(_TICK_S)
            self._group.watch()
            if self.running.twin:
                self.running.twin.check()
            self._collect()
            self.running.seconds = time.monotonic() - started
            tick(self.running)
            if status.end_of_stream:
                draining_since = draining_since or time.monotonic()
                if self._drained() or time.monotonic() - draining_since > _DRAIN_LIMIT_S + self._way_s():
                    break
        self._finish(tick)

    def _drained(self) -> bool:
        status = self.running.status
        return status.parts_tracked == 0 and self.running.collector.seen >= status.triggers_pushed

    def _way_s(self) -> float:
        return self.config.plc.ejector.camera_to_ejector_mm / 1000 / self.config.conveyor.m_per_s

    def _finish(self, tick: Callable[[RunningLine], None]) -> None:
        """Tells everyone to end; the PLC hears it from actuation. Then reads what is still to be read."""
        children = {child.name: child for child in self._group.children}
        children["camera"].end(1.0)  # first: a part that nobody announces needs no verdict
        self.running.status.stop = 1
        for child in reversed(self._group.children):
            if child.name not in ("twin", "report"):
                _wait(child, 2.0)
        if "report" in children:
            self._finish_report(children["report"])
        self._collect()
        self.running.collector.close()
        self.running.restarts = {child.name: child.restarts for child in self._group.children}
        tick(self.running)
        if self.running.twin:
            self.running.twin.finish()

    def _finish_report(self, child: Child) -> None:
        """The ring goes with the line, so what is not in the journal yet must get there now, whoever was killed."""
        end = time.monotonic() + _JOURNAL_LIMIT_S
        while child.exit_code != 0:
            if time.monotonic() > end:
                self._say(f"the journal is not complete after {_JOURNAL_LIMIT_S:g} s: {child.last_words()}")
                return
            if child.exit_code is not None:
                child.restarts += 1
                child.start()
            _wait(child, 1.0)

    def _collect(self) -> None:
        while True:
            records = self._reader.read(1024)
            if len(records) == 0:
                break
            self.running.collector.add(records)
            if self._recorder:
                self._recorder.add(records)
            if self._options.on_records:
                self._options.on_records(records)
        self.running.lost_records = self._reader.lost

    def _start_children(self) -> None:
        config, running = self.config, self.running
        cpus = CpuPlan.for_this_machine(config.realtime.loop_cpu)
        if config.plc.kind == "twin" or isinstance(config.camera, TwinSettings):
            running.twin = TwinProcess.start(
                self._folder, config, self._options.twin or TwinRequest(), self._group
            )
            self.config = config = running.twin.connected(config)
        configs = role_settings(config, self._meeting, cpus, ignore_deadlines=self._options.ignore_deadlines)
        records = config.records
        if records.journal is None and records.archive is None and not config.report.wanted:
            configs.pop("report")
        if self._options.record_to:
            facts = RunFacts(
                config.model_dump(mode="json"),
                engine_hashes(config),
                config.conveyor.m_per_s,
                standing_by(configs["inspection"]),
            )
            self._recorder = Recorder(running.region, self._options.record_to, facts)
        self._meeting.write_told(configs)
        for name in configs:
            child = Child(name, self._meeting.command(name), self._folder / f"{name}.log")
            child.log.unlink(missing_ok=True)
            self._group.start(child)
            if child.process:
                running.pids[name] = child.process.pid

    def labels(self) -> Mapping[int, str]:
        """part id → class name, as far as the camera knows."""
        if not self._meeting.labels.is_file():
            return {}
        labels = Labels.load(self._meeting.labels)
        named = ((part, labels.of(part)) for part in range(1, self.running.status.last_trigger_id + 1))
        return {part: name for part, name in named if name is not None}

    def _close(self) -> None:
        self.running.status.stop = 1
        self._group.end()
        if self._recorder:
            self._recorder.close()
        self._meeting.clear()
        if self._lock:
            self._lock.close()


def run_folder(name: str) -> Path:
    """Where the processes of a line meet: memory, private to the user."""
    base = Path(os.environ.get("EDGE_RUN_DIR", "/dev/shm"))  # noqa: S108  (the folder below is ours, mode 0700)
    return base / f"edge-{os.getuid()}-{name}"


def _wait(child: Child, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while child.exit_code is None and time.monotonic() < end:
        time.sleep(0.01)


def stop_on_signals(line: Line) -> None:
    """Ctrl-C and SIGTERM end the line cleanly."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: line.ask_to_stop())


__all__ = ["Line", "RunOptions", "RunningLine", "TwinError", "TwinRequest", "run_folder", "stop_on_signals"]
