"""A region with a camera process on it, and nobody who takes the frames away."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge._core import FrameView, Region

PATIENCE_S = 20.0


def wait_until(done: Callable[[], Any], what: str) -> None:
    """Polls with a deadline."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(0.005)


class CameraLine:
    """The region as the loop and the supervisor see it."""

    def __init__(self, folder: Path, frame_slots: int = 64, slot_bytes: int = 1 << 20) -> None:
        self.folder = folder
        self.region = Region.create(str(folder / "region"), frame_slots=frame_slots, slot_bytes=slot_bytes)
        self.status = self.region.status
        self._triggers = self.region.trigger_reader()
        self.triggers: dict[int, tuple[int, int]] = {}
        self.labels_path = folder / "labels.json"
        self.log_path = folder / "camera.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **camera: Any) -> None:
        config = {
            "camera": camera,
            "speed_m_per_s": 2.0,
            "counts_per_mm": 10.0,
            "labels_path": str(self.labels_path),
        }
        path = self.folder / "camera.json"
        path.write_text(json.dumps(config, default=str))
        command = [sys.executable, "-m", "edge.camera.host", "--region", str(self.folder / "region")]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([*command, "--config", str(path)], stderr=log)

    def run(self, **camera: Any) -> None:
        """Starts, and waits until the camera has shown everything."""
        self.start(**camera)
        self.finish()

    def finish(self) -> None:
        wait_until(lambda: self.status.end_of_stream or self._ended(), "the end of the stream")
        self.read_triggers()

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def read_triggers(self) -> None:
        while (trigger := self._triggers.read()) is not None:
            self.triggers[trigger[0]] = trigger[1:]

    def frame(self, trigger_id: int) -> FrameView:
        frame = self.region.copy_frame(trigger_id)
        assert frame is not None, f"no frame of part {trigger_id}\n{self.log}"
        return frame

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def stop(self) -> int:
        assert self.process is not None
        self.status.stop = 1
        return self.process.wait(PATIENCE_S)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[CameraLine]:
    made = CameraLine(tmp_path)
    yield made
    made.end()


@pytest.fixture
def small_line(tmp_path: Path) -> Iterator[CameraLine]:
    made = CameraLine(tmp_path, frame_slots=4, slot_bytes=4096)
    yield made
    made.end()


@pytest.fixture
def until() -> Callable[[Callable[[], Any], str], None]:
    return wait_until
