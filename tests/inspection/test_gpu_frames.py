"""Frames judged where they lie: the real loop, ring and graphs, and a GPU's double that runs kernels on the CPU."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge import _core
from edge._core import PixelFormat, Reason, Route, Verdict
from edge.config import engine_path
from edge.inspection import gpu
from edge.inspection.engines import preprocess_of, slot_of
from engines.cuda import preprocess as gpu_preprocess
from engines.cuda.preprocess import GpuPreprocess
from engines.loaded import FrameKernel, LoadedEngine
from engines.manifest import load_manifest
from tests.core.test_loop import SIZE, Rig, acknowledge, wait_for, want_two_looks
from tests.gpu_double import Buffer, Cuda, Memory, driver_double

OUT = 8


@pytest.fixture(name="library", scope="module")
def _library() -> Path:
    return driver_double()


class Queue:
    """An engine that finds a crack where the picture's left half is brighter than its right one."""

    def __init__(self, memory: Memory, cuda: Cuda) -> None:
        self.input, self.scores = Buffer((1, 3, OUT, OUT), np.float32), Buffer((1, 4), np.float32)
        self.context, self.stream, self.output = memory.context, memory.stream, self.scores.host
        self.runs = 0
        self.enqueue = lambda: cuda.recording(self.infer)() and None

    def infer(self) -> bool:
        self.runs += 1
        halves = self.input.host[0, :, :, : OUT // 2].mean() - self.input.host[0, :, :, OUT // 2 :].mean()
        self.scores.host[0] = [0, 0.05, 0.95, 0] if halves > 0.2 else [0, 0.95, 0.05, 0]
        return True


class GpuRig(Rig):
    """The loop's rig with engines on the double's GPU."""

    def __init__(self, folder: Path, library: Path) -> None:
        super().__init__(folder)
        self.settings.max_speed_um_per_s = 1_000_000  # the row in which the gate is sure
        like = load_manifest(engine_path("shipped:gate"))
        spec = like.input.model_copy(update={"width": OUT, "height": OUT})
        self.manifest = like.model_copy(update={"input": spec})
        self.memory, self.cuda = Memory(), Cuda(library, (SIZE, SIZE), preprocess_of(self.manifest, None))
        self.frames = gpu.GpuFrames(self.region)
        self.gate, self.second = Queue(self.memory, self.cuda), Queue(self.memory, self.cuda)

    def engines(self, classifier: bool) -> tuple[_core.EngineSlot, _core.EngineSlot | None]:
        return self._slot(self.gate), self._slot(self.second) if classifier else None

    def _slot(self, queue: Queue) -> _core.EngineSlot:
        def kernel(source: str) -> FrameKernel:
            assert "edge_preprocess" in source
            shape, out = queue.input.host.shape, queue.input.device
            return GpuPreprocess(self.cuda, self.memory, source, "8.7", shape=shape, out=out)

        run = lambda: queue.infer() and None  # noqa: E731
        picture, scores = queue.input.host, queue.scores.host
        engine = LoadedEngine(self.manifest, picture, scores, run, gpu=queue, kernel=kernel)
        return slot_of(engine, None, frames=self.frames)

    def follow(self) -> None:
        assert self.loop is not None
        self.frames.follow(self.loop.frame_shape)

    def show(self, part: int, left: int, right: int) -> np.void:
        """The record of a part with so bright halves."""
        self.pixels = np.full((SIZE, SIZE), right, np.uint8)
        self.pixels[:, : SIZE // 2] = left
        self.pixels = self.pixels.reshape(-1)
        reader, entry = self.records.reader(), self.part(part)
        acknowledge(self.records, entry)
        (record,) = reader.read()
        return record


@pytest.fixture(name="rig")
def _rig(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GpuRig]:
    monkeypatch.setattr(gpu, "LIBRARY", str(library))
    monkeypatch.setattr(gpu_preprocess, "compile_ptx", lambda _source, _name, sm: f"ptx for {sm}".encode())
    rig = GpuRig(tmp_path, library)
    yield rig
    assert rig.loop is not None
    rig.loop.stop()
    rig.loop, rig.frames = (
        None,
        gpu.GpuFrames(rig.region),
    )  # the ring is given back, for the next test to lock its own


def told(record: np.void) -> tuple[int, int, int, float]:
    return (
        int(record["verdict"]),
        int(record["reason"]),
        int(record["route"]),
        float(record["brightness_mean"]),
    )


def test_one_launch_judges_the_frame_in_its_slot_as_the_cpu_would(rig: GpuRig) -> None:
    rig.start()
    halves = [(100, 100), (200, 60), (60, 200), (180, 90)]
    by_cpu = [told(rig.show(part, *grey)) for part, grey in enumerate(halves, 1)]
    assert {verdict for verdict, *_ in by_cpu} == {Verdict.PASS, Verdict.REJECT}
    assert rig.cuda.pictures == 0
    assert rig.loop is not None
    assert rig.loop.frame_shape == (SIZE, SIZE, PixelFormat.MONO8)
    rig.follow()
    for part in range(5, 21):  # through every slot of the ring, twice
        runs, grey = rig.gate.runs, halves[part % 4]
        verdict, reason, route, mean = told(rig.show(part, *grey))
        assert (verdict, reason, route) == by_cpu[part % 4][:3]
        assert mean == pytest.approx(by_cpu[part % 4][3], abs=0.5)
        assert rig.gate.runs == runs + 1
    assert rig.cuda.pictures == 16


def test_what_the_gpu_counts_guards_the_exposure(rig: GpuRig) -> None:
    rig.settings.min_mean, rig.settings.max_bright_share = 12, 0.4
    rig.start()
    rig.show(1, 100, 100)
    rig.follow()
    assert told(rig.show(2, 5, 5))[:3] == (Verdict.REJECT, Reason.UNDEREXPOSED, Route.NONE)
    assert told(rig.show(3, 20, 255))[:3] == (Verdict.REJECT, Reason.OVEREXPOSED, Route.NONE)
    assert told(rig.show(4, 100, 100))[:3] == (Verdict.PASS, Reason.NONE, Route.GATE)
    assert rig.cuda.pictures == 3


def test_frames_of_another_shape_take_the_cpu_until_the_tables_are_theirs(rig: GpuRig) -> None:
    rig.start()
    rig.show(1, 100, 100)
    rig.follow()
    rig.show(2, 100, 100)
    assert rig.cuda.pictures == 1

    def narrow(part: int) -> _core.VerdictEntry:
        rig.region.push_trigger(part, part * 10, _core.now_ns())
        slot = rig.region.claim_slot()
        assert slot is not None
        slot.pixels.reshape(SIZE, SIZE)[:, : SIZE // 4] = 200
        slot.pixels.reshape(SIZE, SIZE)[:, SIZE // 4 :] = 60
        slot.publish(
            frame_id=part,
            trigger_id=part,
            encoder_count=part * 10,
            exposure_end_ns=_core.now_ns(),
            width=SIZE // 2,
            height=SIZE,
            stride=SIZE,
            pixel_format=PixelFormat.MONO8,
            status=_core.FrameStatus.OK,
        )
        return rig.verdict()

    assert narrow(3).verdict == Verdict.REJECT
    assert rig.cuda.pictures == 1
    rig.cuda.frame = (SIZE // 2, SIZE)
    rig.follow()
    assert narrow(4).verdict == Verdict.REJECT
    assert rig.cuda.pictures == 2


def test_the_second_look_is_of_what_the_kernel_left_in_the_input(rig: GpuRig) -> None:
    want_two_looks(rig)
    rig.settings.routing = [
        _core.RoutingRow(
            speed_um_per_s=1_000_000,
            gate_good=0.99,
            gate_defect=0.99,
            gate_empty=0.9,
            classifier_good=0.6,
            retest_good=0.5,
        )
    ]
    rig.start()
    rig.show(1, 100, 100)
    rig.follow()
    gate, second = rig.gate.runs, rig.second.runs
    record = rig.show(2, 60, 200)  # mirrored, the left half is the brighter one
    assert rig.cuda.pictures == 2  # one for each engine
    assert (rig.gate.runs, rig.second.runs) == (gate + 1, second + 2)
    assert (int(record["looks"]), int(record["verdict"])) == (2, Verdict.REJECT)
    assert float(record["second_good"]) < 0.1


def test_launches_that_fail_reject_and_end_ready(rig: GpuRig) -> None:
    rig.start()
    rig.show(1, 100, 100)
    rig.follow()
    rig.cuda.fails = True
    for part in range(2, 7):
        assert told(rig.show(part, 100, 100))[:3] == (Verdict.REJECT, Reason.ENGINE, Route.GATE)
    wait_for(lambda: rig.region.status.loop_state == _core.LoopState.FAULT)


def test_tables_that_do_not_fit_leave_the_frames_to_the_cpu(
    rig: GpuRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig.start()
    rig.show(1, 100, 100)
    monkeypatch.setattr(gpu_preprocess, "_TABLE_BYTES", 64)
    rig.follow()
    assert "frames are preprocessed on the CPU" in caplog.text
    assert told(rig.show(2, 200, 60))[0] == Verdict.REJECT
    assert rig.cuda.pictures == 0
