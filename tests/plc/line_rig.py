"""The actuation process between a real twin PLC and a stand-in for camera and inspection loop."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge import _core
from edge._core import LoopState, Reason, Route, Verdict
from edge.conveyor.settings import ConveyorSettings
from edge.plc.settings import ActuationConfig, PlcSettings
from tools.twin.parts import plan_parts
from tools.twin.world import World

MS = 1_000_000


def until(condition: Callable[[], bool], seconds: float = 10.0, *, every_s: float = 0.005) -> None:
    """Polls; fails when it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(every_s)


class TwinPlcProcess:
    """``python -m tools.twin plc``; can be killed and started again on the same port."""

    def __init__(self, world: Path | None = None, mode: str = "pulse", port: int = 0) -> None:
        self._arguments = ["--mode", mode, *(["--world", str(world)] if world else [])]
        self.port = port
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tools.twin", "plc", "--port", str(self.port), *self._arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split("=")[1])

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(5)


@dataclass
class Rig:
    """One line without camera and engines."""

    folder: Path
    config: ActuationConfig
    region: _core.Region = field(init=False)
    records: _core.RecordRing = field(init=False)

    def __post_init__(self) -> None:
        self.region = _core.Region.create(str(self.folder / "region"), frame_slots=2, slot_bytes=4096)
        self.records = _core.RecordRing.create(str(self.folder / "records"), capacity=4096)
        self.reader = self.records.reader()
        self.status = self.region.status
        self.status.loop_state = LoopState.READY
        self.status.camera_ready = 1
        self._beating = threading.Event()
        self._beating.set()
        self._filming = threading.Event()
        self._filming.set()
        self._over = False
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        self.queued_ns = 0
        """When the last verdict was queued."""
        self.log = self.folder / "actuation.log"
        self.start()

    def start(self) -> None:
        """Starts the actuation process."""
        path = self.folder / "config.json"
        path.write_text(self.config.model_dump_json())
        command = [sys.executable, "-m", "edge.plc.process", "--region", str(self.folder / "region")]
        command += ["--records", str(self.folder / "records"), "--config", str(path)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stderr=log)

    def hang_inspection(self) -> None:
        """The loop no longer beats."""
        self._beating.clear()

    def kill_camera(self) -> None:
        """The camera process no longer beats, and said nothing."""
        self._filming.clear()

    def revive_camera(self) -> None:
        """It was started again."""
        self._filming.set()

    def _beat(self) -> None:
        while not self._over:
            if self._beating.is_set():
                self.status.loop_beat_ns = _core.now_ns()
            if self._filming.is_set():
                self.status.camera_beat_ns = _core.now_ns()
            time.sleep(0.01)

    def trigger(self, part_id: int, encoder_count: int = 0, stamp_ns: int | None = None) -> int:
        """What the camera does; returns the time of the trigger."""
        stamp_ns = stamp_ns or _core.now_ns()
        self.region.push_trigger(part_id, encoder_count, stamp_ns)
        return stamp_ns

    def decide(
        self,
        part_id: int,
        verdict: Verdict,
        triggered_ns: int,
        *,
        encoder_count: int = 0,
        budget_ms: float = 15.0,
    ) -> int:
        """What the loop does: a record and a verdict; returns the index of the record."""
        now = _core.now_ns()
        index = self.records.append_unjudged(
            part_id=part_id, encoder_count=encoder_count, triggered_ns=triggered_ns, deadline_ns=now
        )
        entry = dict(
            part_id=part_id,
            encoder_count=encoder_count,
            verdict=verdict,
            reason=Reason.NONE if verdict is Verdict.PASS else Reason.DEFECT,
            route=Route.GATE,
            class_id=1 if verdict is Verdict.PASS else 2,
            confidence=0.97,
            triggered_ns=triggered_ns,
            received_ns=now - MS,
            decided_ns=now,
            deadline_ns=now + int(budget_ms * MS),
            record_index=index,
        )
        self.queued_ns = _core.now_ns()
        self.region.push_verdict(**entry)
        return index

    def run_belt(
        self,
        world: World,
        verdict_of: Callable[[int], Verdict | None],
        unseen: range = range(0),
        budget_ms: float = 15.0,
    ) -> None:
        """Triggers and verdicts for every part of the world, at the true times; None: no verdict."""
        for index, part in enumerate(world.parts):
            when_ns = world.time_at_ns(float(part["position_mm"]))
            _core.sleep_until_ns(when_ns)
            if index + 1 in unseen:
                continue
            count = world.encoder_count(when_ns)
            self.trigger(index + 1, count, when_ns)
            _core.sleep_until_ns(_core.now_ns() + 4 * MS)
            verdict = verdict_of(index + 1)
            if verdict is not None:
                self.decide(index + 1, verdict, when_ns, encoder_count=count, budget_ms=budget_ms)

    def finish(self) -> None:
        """Ends actuation the way the line does."""
        self.status.stop = 1
        assert self.process.wait(5) == 0

    def final_records(self) -> list:
        """Finished records so far, oldest first; each is a record of PART_RECORD_DTYPE."""
        found: list = []
        while len(batch := self.reader.read(256)):
            found += list(batch)
        return found

    def words(self) -> str:
        """The log of the actuation process."""
        return self.log.read_text()

    def close(self) -> None:
        self._over = True
        self.status.stop = 1
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def rig(
    folder: Path,
    port: int,
    *,
    conveyor: ConveyorSettings | None = None,
    cpus: tuple[int, ...] = (),
    recipes: tuple[int, ...] = (),
    **plc: object,
) -> Iterator[Rig]:
    """A running actuation process that speaks to a port."""
    settings = PlcSettings.model_validate({"kind": "tcp", "port": port, **plc})
    config = ActuationConfig(
        plc=settings, conveyor=conveyor or ConveyorSettings(), cpus=cpus, recipes=recipes
    )
    running = Rig(folder, config)
    try:
        yield running
    finally:
        running.close()


@contextmanager
def twin(world: Path | None = None, mode: str = "pulse", port: int = 0) -> Iterator[TwinPlcProcess]:
    """A running twin PLC."""
    plc = TwinPlcProcess(world, mode, port)
    try:
        yield plc
    finally:
        plc.process.kill()
        plc.process.wait()


def make_world(folder: Path, parts: int, profile: str = "1.2") -> World:
    """Parts of a fixed seed at their usual pitch."""
    return World.create(folder / "world", plan_parts(parts, 5), profile=profile)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = re.sub(r"\(.*\)", "x", Path(f"/proc/{pid}/stat").read_text()).split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
