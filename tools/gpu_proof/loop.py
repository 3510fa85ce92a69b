"""An engine in the line's own loop: frames in the ring, judged with the CPU's preprocess, then by one launch each."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge import _core
from edge._core import PixelFormat, Reason
from edge.inspection.engines import slot_of
from edge.inspection.gpu import GpuFrames
from engines.loaded import LoadedEngine
from tools.gpu_proof.outcome import BusyPython, Figure, percentiles_us
from tools.gpu_proof.prepare import FRAME, frame

_PARTS, _SLOTS, _PATIENCE_S = 300, 4, 20.0
_SHARED = "/dev/shm"  # noqa: S108  (a private folder in it)
_FORMAT = PixelFormat.BAYER_RG8
APART = 0.02


def in_the_loop(engine: LoadedEngine, title: str) -> list[Figure]:
    """``engine``: on a GPU, float32 scores of at least three classes. Raises TimeoutError: the loop does not answer."""
    with tempfile.TemporaryDirectory(dir=_SHARED) as folder:
        line = _Line(Path(folder), engine)
        try:
            by_cpu = line.parts(_PARTS)
            line.frames.follow(line.loop.frame_shape)
            with BusyPython() as busy:
                by_gpu = line.parts(_PARTS)
        finally:
            line.stop()
    both = np.concatenate((by_cpu, by_gpu))
    failed = int(np.isin(both["reason"], (Reason.ENGINE, Reason.FRAME_LOST)).sum())
    apart = max(
        float(np.abs(by_cpu[name] - by_gpu[name]).max()) for name in ("gate_raw_good", "gate_raw_defect")
    )
    p50, p99, most = percentiles_us((by_gpu["gate_out_ns"] - by_gpu["gate_in_ns"]).tolist())
    cpu_p50, cpu_p99, _ = percentiles_us((by_cpu["gate_out_ns"] - by_cpu["started_ns"]).tolist())
    return [
        Figure(f"{title}: parts without an answer", f"{failed} of {len(both)}", "0", failed == 0),
        Figure(
            f"{title}: scores apart, CPU's and GPU's preprocess",
            f"{apart:.4f}",
            f"≤ {APART:g}",
            apart <= APART,
        ),
        Figure(f"{title}, frame to scores, µs: p50, p99, max", f"{p50:.0f}, {p99:.0f}, {most:.0f}"),
        Figure(f"{title}, the same with the CPU's preprocess: p50, p99", f"{cpu_p50:.0f}, {cpu_p99:.0f}"),
        Figure(f"{title}: turns of a busy Python thread meanwhile", str(busy.turns)),
    ]


class _Line:
    """Region, records and loop of a line without camera and PLC."""

    def __init__(self, folder: Path, engine: LoadedEngine) -> None:
        self.region = _core.Region.create(
            f"{folder}/region", frame_slots=_SLOTS, slot_bytes=frame(_FORMAT).size
        )
        self._records = _core.RecordRing.create(f"{folder}/ring", capacity=4 * _PARTS)
        self._reader, self._verdicts = self._records.reader(), self.region.verdict_reader()
        self.frames, self._number = GpuFrames(self.region), 0
        slot = slot_of(engine, None, frames=self.frames)
        self.loop = _core.InspectionLoop(self.region, self._records, _settings(), slot, None)
        self.loop.start()
        _wait(lambda: self.region.status.loop_state != _core.LoopState.STARTING, "the loop's warm-up")

    def parts(self, count: int) -> NDArray[np.void]:
        """Records of so many parts, the same pictures every time, one after the other."""
        rng, picture = np.random.default_rng(7), frame(_FORMAT).reshape(-1)
        found = []
        for _ in range(count):
            self._number += 1
            self.region.push_trigger(self._number, self._number, _core.now_ns())
            self._show(np.roll(picture, int(rng.integers(picture.size))))
            _wait(lambda: self.region.status.parts_decided >= self._number, f"part {self._number}")
            entry = self._verdicts.read()
            assert entry is not None
            self._finish(entry)
            found.append(self._reader.read())
        return np.concatenate(found)

    def stop(self) -> None:
        """Ends the loop and gives the ring back."""
        self.loop.stop()
        del self.loop, self.frames

    def _show(self, pixels: NDArray[np.uint8]) -> None:
        slot = self.region.claim_slot()
        assert slot is not None
        slot.pixels[: pixels.size] = pixels
        slot.publish(
            frame_id=self._number,
            trigger_id=self._number,
            encoder_count=self._number,
            exposure_end_ns=_core.now_ns(),
            width=FRAME[0],
            height=FRAME[1],
            stride=FRAME[0],
            pixel_format=_FORMAT,
            status=_core.FrameStatus.OK,
        )

    def _finish(self, entry: _core.VerdictEntry) -> None:
        self._records.acknowledge(
            entry.record_index,
            verdict=entry.verdict,
            reason=entry.reason,
            result=_core.PlcResult.ACKED,
            queued_ns=entry.decided_ns,
            sent_ns=entry.decided_ns,
            ack_ns=entry.decided_ns,
        )


def _settings() -> _core.LoopSettings:
    settings = _core.LoopSettings()
    settings.routing = [
        _core.RoutingRow(
            speed_um_per_s=10_000_000, gate_good=0.9, gate_defect=0.9, gate_empty=0.9, classifier_good=0.9
        )
    ]
    settings.budget_cap_ns = settings.frame_timeout_ns = 2_000_000_000
    settings.window_um = 100_000_000
    settings.min_mean, settings.max_mean = 0, 255
    settings.keep_warm_ns = 0
    settings.warmup_runs = 50
    return settings


def _wait(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} took longer than {_PATIENCE_S:g} s")
        time.sleep(50e-6)
