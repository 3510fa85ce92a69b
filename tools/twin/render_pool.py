"""Renders the twin's frames ahead of time, in a process of low priority, into memory shared with the device.

The device process must stay punctual to a fraction of a millisecond; rendering takes several.
"""

import dataclasses
import json
import math
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import TwinError
from tools.twin.conveyor import SpeedProfile
from tools.twin.parts import PartSpec, plan_parts
from tools.twin.render import CameraModel, render

SLOTS = 32
_POLL_S = 0.002
_RENDERED, _CONSUMED = 0, 1
_HEADER_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which parts the twin shows: the arguments of plan_parts, and the exposures that a fault changes."""

    count: int
    seed: int
    defect_share: float = 0.2
    pitch_mm: float = 80.0
    ghost_share: float = 0.0
    exposure_ev: dict[int, float] = dataclasses.field(default_factory=dict)
    """Trigger id → exposure value in place of the planned one."""
    speed: str = ""
    """The belt's speed profile: parts are blurred by the speed at which they pass. Empty: by the planned one."""

    def specs(self) -> list[PartSpec]:
        """The parts, in belt order. Raises TwinError when they cannot be planned."""
        specs = plan_parts(
            self.count, self.seed, self.defect_share, self.pitch_mm, ghost_share=self.ghost_share
        )
        profile = SpeedProfile.parse(self.speed) if self.speed else None
        return [
            dataclasses.replace(
                spec,
                exposure_ev=self.exposure_ev.get(spec.index + 1, spec.exposure_ev),
                speed_m_per_s=_passing_speed(spec, profile) if profile else spec.speed_m_per_s,
            )
            for spec in specs
        ]


def _passing_speed(spec: PartSpec, profile: SpeedProfile) -> float:
    """m/s while the part is under the camera; of a belt that stops before, the last."""
    when_s = profile.time_at_s(spec.position_mm)
    return profile.speed_m_per_s(when_s if math.isfinite(when_s) else 1e9)


class FrameQueue:
    """A ring of rendered frames with one writer and one reader; counts are aligned int64, so whole or old."""

    def __init__(self, descriptor: int, camera: CameraModel) -> None:
        self._mapping = mmap.mmap(descriptor, self.size(camera))
        self._counts: NDArray[np.int64] = np.frombuffer(self._mapping, np.int64, 2)
        frames: NDArray[np.uint8] = np.frombuffer(self._mapping, np.uint8, offset=_HEADER_BYTES)
        self._frames = frames.reshape(SLOTS, camera.height, camera.width)

    @staticmethod
    def size(camera: CameraModel) -> int:
        """Bytes of shared memory."""
        return _HEADER_BYTES + SLOTS * camera.height * camera.width

    @property
    def rendered(self) -> int:
        """Frames that have been rendered since the start."""
        return int(self._counts[_RENDERED])

    @property
    def full(self) -> bool:
        """True when the writer must wait."""
        return self.rendered - int(self._counts[_CONSUMED]) >= SLOTS

    def slot(self, index: int) -> NDArray[np.uint8]:
        """Frame ``index`` of the run, height × width, in place."""
        frame: NDArray[np.uint8] = self._frames[index % SLOTS]
        return frame

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """The next frame."""
        self.slot(index)[:] = pixels
        self._counts[_RENDERED] = index + 1

    def consume(self, count: int) -> None:
        """Frees the slots of the first ``count`` frames of the run."""
        self._counts[_CONSUMED] = count


class RenderPool:
    """The renderer as the device sees it."""

    def __init__(self, plan: Plan, camera: CameraModel) -> None:
        self._count = plan.count
        self.descriptor = descriptor = os.memfd_create("twin-frames")
        """Of the memory with the frames, for a device in another process; see FrameQueue."""
        os.ftruncate(descriptor, FrameQueue.size(camera))
        self.queue = FrameQueue(descriptor, camera)
        command = [sys.executable, "-m", "tools.twin.render_pool", str(descriptor)]
        command.append(json.dumps(dataclasses.asdict(plan)))
        self._process = subprocess.Popen(command, pass_fds=[descriptor])

    @property
    def process_id(self) -> int:
        """Of the rendering process."""
        return self._process.pid

    def wait_filled(self, timeout_s: float = 60.0) -> None:
        """Returns when the queue is full or holds the whole run. Raises TwinError when it does not fill."""
        deadline_s = time.monotonic() + timeout_s
        while self.queue.rendered < min(SLOTS, self._count):
            if self._process.poll() is not None:
                raise TwinError(
                    f"the renderer ended with status {self._process.returncode}; see its message above"
                )
            if time.monotonic() > deadline_s:
                raise TwinError(
                    f"the renderer made {self.queue.rendered} frames in {timeout_s:g} s; expected {SLOTS}"
                )
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Ends the renderer."""
        self._process.terminate()
        self._process.wait()
        os.close(self.descriptor)


def work(descriptor: int, plan: Plan, camera: CameraModel) -> None:
    """Renders the whole plan; waits while the ring is full; ends when the device has gone."""
    queue = FrameQueue(descriptor, camera)
    parent = os.getppid()
    for spec in plan.specs():
        pixels = render(spec, camera).pixels
        while queue.full:
            if os.getppid() != parent:
                return
            time.sleep(_POLL_S)
        queue.put(spec.index, pixels)
        if queue.rendered == SLOTS:
            os.nice(19)  # until here the belt stands still and everybody waits for us


def main(argv: Sequence[str]) -> int:
    """Arguments: descriptor of the shared memory, plan as JSON."""
    values: dict[str, Any] = json.loads(argv[1])
    values["exposure_ev"] = {int(key): ev for key, ev in values["exposure_ev"].items()}
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the device ends this process
    work(int(argv[0]), Plan(**values), CameraModel())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
