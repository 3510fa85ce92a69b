"""Composition root: one line from its configuration, its processes, and what is read back while it runs."""

import fcntl
import hashlib
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
from edge.camera.settings import CameraConfig, TwinSettings, VideoSettings
from edge.config import LineConfig, engine_path
from edge.errors import EngineError, RegionError, TwinError
from edge.inspection.certificate import HOLDS, NONE
from edge.inspection.rules import class_limits, native_rules
from edge.inspection.settings import InspectionConfig
from edge.plc.settings import ActuationConfig
from edge.records.recording import Recorder, RunFacts
from edge.report.collector import Collector
from edge.service.machine import CpuPlan
from edge.service.processes import Child, ProcessGroup
from edge.twin import TwinProcess, TwinRequest
from engines.errors import ManifestError
from engines.manifest import EngineManifest, load_manifest

_TICK_S = 0.05
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
        self._lock: IO[bytes] | None = None
        self._group = ProcessGroup(say)
        self._stop_asked = False
        self._recorder: Recorder | None = None
        self.running: RunningLine

    def __enter__(self) -> "Line":
        manifest = _manifest(self.config)
        native_rules(
            self.config.rules, manifest.classes
        )  # an unknown class is refused before anything starts
        class_limits(self.config.rules, manifest.classes)
        self._lock = _lock(self._folder, self.config.name)
        for stale in self._folder.glob("region*"):
            stale.unlink()  # we hold the lock: its owner has gone
        camera = self.config.camera
        try:
            region = _core.Region.create(
                str(self._folder / "region"), frame_slots=camera.frame_slots, slot_bytes=camera.slot_bytes
            )
            ring_path = self.config.records.ring_path or self._folder / "records.ring"
            self._records = _core.RecordRing.create(str(ring_path), capacity=self.config.records.capacity)
        except _core.CoreError as error:
            raise RegionError(str(error)) from error
        self._ring_path = ring_path
        self._reader = self._records.reader()
        keep = not isinstance(camera, VideoSettings)
        self.running = RunningLine(self.config, region, Collector(keep_finals=keep), manifest, None)
        self.running.certificate = self.config.certificate_state(_hashes(self.config))
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
            if child.name != "twin":
                _wait(child, 2.0)
        self._collect()
        self.running.collector.close()
        self.running.restarts = {child.name: child.restarts for child in self._group.children}
        tick(self.running)
        if self.running.twin:
            self.running.twin.finish()

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
        configs = {
            "actuation": self._actuation_config(config, cpus),
            "camera": self._camera_config(config, cpus),
            "inspection": self._inspection_config(config, cpus),
        }
        modules = {
            "actuation": "edge.plc.process",
            "camera": "edge.camera.host",
            "inspection": "edge.inspection.process",
        }
        if self._options.record_to:
            facts = RunFacts(config.model_dump(mode="json"), _hashes(config), config.conveyor.m_per_s)
            self._recorder = Recorder(running.region, self._options.record_to, facts)
        for name, model in configs.items():
            path = self._folder / f"{name}.json"
            path.write_text(model.model_dump_json(indent=1), encoding="utf-8")
            command = [modules[name], "--region", str(self._folder / "region"), "--config", str(path)]
            if name != "camera":
                command += ["--records", str(self._ring_path)]
            child = Child(name, command, self._folder / f"{name}.log")
            child.log.unlink(missing_ok=True)
            self._group.start(child)
            if child.process:
                running.pids[name] = child.process.pid

    def _actuation_config(self, config: LineConfig, cpus: CpuPlan) -> ActuationConfig:
        return ActuationConfig(
            plc=config.plc,
            conveyor=config.conveyor,
            verdict_timeout_ms=config.verdict_timeout_ms,
            camera_latches_encoder=config.camera.latches_encoder,
            cpus=cpus.others,
            fifo_priority=min(60, config.realtime.priority),
        )

    def _camera_config(self, config: LineConfig, cpus: CpuPlan) -> CameraConfig:
        return CameraConfig(
            camera=config.camera,
            speed_m_per_s=config.conveyor.m_per_s,
            counts_per_mm=config.conveyor.counts_per_mm,
            cpus=cpus.others,
            labels_path=self.labels_path,
        )

    def _inspection_config(self, config: LineConfig, cpus: CpuPlan) -> InspectionConfig:
        engines = config.engines
        return InspectionConfig(
            gate=engine_path(engines.gate),
            classifier=engine_path(engines.classifier) if engines.classifier else None,
            threads=engines.threads,
            roi=config.camera.roi,
            budget=config.budget,
            exposure=config.exposure,
            routing=config.routing,
            scores=config.scores,
            retest=config.retest,
            fusion=config.fusion,
            rules=config.rules,
            frame_timeout_ms=config.camera.frame_timeout_ms,
            max_speed_m_per_s=config.conveyor.max_m_per_s,
            priority=config.realtime.priority,
            loop_cpu=cpus.loop,
            keep_warm_ms=config.realtime.keep_warm_ms,
            ignore_deadlines=self._options.ignore_deadlines,
        )

    @property
    def labels_path(self) -> Path:
        """Where the camera process leaves the labels of the parts, if it knows them."""
        return self._folder / "labels.json"

    def labels(self) -> Mapping[int, str]:
        """part id → class name, as far as the camera knows."""
        if not self.labels_path.is_file():
            return {}
        labels = Labels.load(self.labels_path)
        named = ((part, labels.of(part)) for part in range(1, self.running.status.triggers_pushed + 1))
        return {part: name for part, name in named if name is not None}

    def _close(self) -> None:
        self.running.status.stop = 1
        self._group.end()
        if self._recorder:
            self._recorder.close()
        for name in (
            ("region", "labels.json")
            if self.config.records.ring_path
            else ("region", "labels.json", "records.ring")
        ):
            (self._folder / name).unlink(missing_ok=True)
        if self._lock:
            self._lock.close()


def run_folder(name: str) -> Path:
    """Where the processes of a line meet: memory, private to the user."""
    base = Path(os.environ.get("EDGE_RUN_DIR", "/dev/shm"))  # noqa: S108  (the folder below is ours, mode 0700)
    return base / f"edge-{os.getuid()}-{name}"


def _lock(folder: Path, name: str) -> IO[bytes]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RegionError(
            f"{folder}: belongs to another user; remove it, or set EDGE_RUN_DIR to a folder of your own"
        )
    lock = (folder / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise RegionError(
            f"line '{name}' is running already (lock {folder / 'lock'}); stop it first, or give this line another name"
        ) from error
    return lock


def _manifest(config: LineConfig) -> EngineManifest:
    try:
        return load_manifest(engine_path(config.engines.gate))
    except ManifestError as error:
        raise EngineError(str(error)) from error


def _hashes(config: LineConfig) -> dict[str, str]:
    paths = {"gate": config.engines.gate, "classifier": config.engines.classifier}
    return {
        role: hashlib.sha256(load_manifest(engine_path(text)).model_path.read_bytes()).hexdigest()
        for role, text in paths.items()
        if text
    }


def _wait(child: Child, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while child.exit_code is None and time.monotonic() < end:
        time.sleep(0.01)


def stop_on_signals(line: Line) -> None:
    """Ctrl-C and SIGTERM end the line cleanly."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: line.ask_to_stop())


__all__ = ["Line", "RunOptions", "RunningLine", "TwinError", "TwinRequest", "run_folder", "stop_on_signals"]
