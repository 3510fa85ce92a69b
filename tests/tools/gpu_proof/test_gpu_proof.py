"""The proof itself, without a GPU: its CPU steps are real, its device steps run against a driver that only keeps books.

What is shown here is that the commands reach the driver in the right order with the right addresses, never that a GPU
does what they say.
"""

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import _core
from edge.config import engine_path
from edge.inspection import gpu as line_gpu
from edge.inspection.engines import preprocess_of
from engines.cuda import preprocess as gpu_preprocess
from engines.cuda.preprocess import GpuPreprocess, read_stats
from engines.loaded import FrameKernel, LoadedEngine
from engines.manifest import load_manifest
from engines.parity import outputs
from engines.tensorrt.driver import Device
from tests.engines.small_net import save, small_net
from tests.gpu_double import Cuda, Memory, driver_double
from tools.gpu_proof import __main__ as proof
from tools.gpu_proof import device as on_gpu
from tools.gpu_proof import loop
from tools.gpu_proof.outcome import Figure, NotHereError, Step, percentiles_us, run_step
from tools.gpu_proof.prepare import FRAME, Artifact

sys.path.insert(0, str(Path(__file__).parents[2] / "engines" / "tensorrt"))
from double import VERSIONS
from scenes import make_builder_double, make_runner_double

DEVICE = Device("a GPU of a test", "8.7", "1", "12.6", 8192, True)


@pytest.fixture(name="library", scope="module")
def _library() -> Path:
    return driver_double()


@pytest.fixture(name="gpu")
def _gpu(library: Path, monkeypatch: pytest.MonkeyPatch) -> on_gpu.Gpu:
    for name in ("_LAUNCHES", "_RUNS", "_WARM_UP"):
        monkeypatch.setattr(on_gpu, name, 3)
    monkeypatch.setattr(loop, "_PARTS", 3)
    monkeypatch.setattr(line_gpu, "LIBRARY", str(library))
    monkeypatch.setattr(gpu_preprocess, "compile_ptx", lambda _source, _name, sm: f"ptx for {sm}".encode())
    return on_gpu.Gpu(DEVICE, Cuda(library, FRAME), Memory(), str(library))


def values(figures: Any) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def test_launches_are_captured_timed_and_repeated_beside_python(gpu: on_gpu.Gpu) -> None:
    found = values(on_gpu.launches(gpu))
    assert set(found) >= {"p99, µs", "turns of the Python thread meanwhile"}
    gpu.cuda.fails = True
    with pytest.raises(RuntimeError, match="3 of 3 launches failed or were late"):
        on_gpu.launches(gpu)


def test_the_kernel_finds_its_frame_at_every_launch(gpu: on_gpu.Gpu) -> None:
    found = values(on_gpu.preprocess(gpu))
    assert all(figure.reached for name, figure in found.items() if name.endswith("apart"))
    assert sum(name.endswith("grey levels apart") for name in found) == 3


def test_a_kernel_that_does_nothing_is_seen(gpu: on_gpu.Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cuda, "_preprocess", lambda *_: None)
    found = values(on_gpu.preprocess(gpu))
    assert not any(figure.reached for name, figure in found.items() if name.endswith("apart"))


def test_the_kernel_reads_frames_in_the_slots_of_the_ring(gpu: on_gpu.Gpu) -> None:
    assert all(figure.reached for name, figure in values(on_gpu.ring(gpu)).items() if name.endswith("apart"))
    loaded = ctypes.CDLL(gpu.driver)
    assert ctypes.c_void_p.in_dll(loaded, "locked").value is None  # given back with the ring


def test_every_slot_is_locked_once_and_given_back(library: Path, tmp_path: Path) -> None:
    driver, slots, slot_bytes = ctypes.CDLL(str(library)), 5, 10_000
    locked = ctypes.c_void_p.in_dll(driver, "locked")
    maps = ctypes.c_int.in_dll(driver, "maps")
    region = _core.Region.create(str(tmp_path / "region"), frame_slots=slots, slot_bytes=slot_bytes)
    ring = _core.CudaRing(region, context=11, library=str(library))
    assert locked.value == region.slot_address(0) == ring.device_address(0)
    assert ring.device_address(slots - 1) == region.slot_address(slots - 1)
    end = region.slot_address(slots - 1) + slot_bytes
    assert region.slot_address(0) + ctypes.c_size_t.in_dll(driver, "locked_bytes").value >= end
    with pytest.raises(_core.CoreError, match="cuMemHostRegister: error 712"):
        _core.CudaRing(region, context=11, library=str(library))
    assert locked.value is not None
    del ring
    assert locked.value is None
    maps.value = 0
    with pytest.raises(_core.CoreError, match="cuMemHostGetDevicePointer: error 1"):
        _core.CudaRing(region, context=11, library=str(library))
    assert locked.value is None
    maps.value = 1


@pytest.mark.parametrize("version", VERSIONS)
def test_every_variant_of_a_release_is_built_compared_and_timed(version: str, gpu: on_gpu.Gpu) -> None:
    net = small_net((1, 3, 8, 8)).SerializeToString()
    pictures = [np.full((1, 3, 8, 8), 0.1, np.float32)]
    expected = np.array([[0.1 * 192, 0, 0, 0]], np.float32)
    double = make_builder_double(version)
    trt = make_runner_double(version, double=double).module
    key = "IExecutionContext.execute_async_v3"
    double.behaviours[key] = gpu.cuda.recording(double.behaviours[key])
    cache = "TRT-8502-EntropyCalibration2\nx: 3f800000\n"
    artifact = Artifact("small", net, quantised_net(), cache, pictures, expected, trained=True)
    found = values(on_gpu.tensorrt(gpu, trt, artifact))
    built = {name.removeprefix("small, ").split(":")[0] for name in found if "cosine" in name}
    flags = {"fp16", "int8, cache"} if int(version.split(".")[0]) < 11 else set()
    assert built == {"fp32", "int8, Q/DQ", "int8, Q/DQ, frame to scores"} | flags
    assert all(figure.reached for name, figure in found.items() if "cosine" in name)
    # The double's answer is no score of a class: the loop rejects every part, and the proof says so.
    unanswered = found["small, int8, Q/DQ, in the loop: parts without an answer"]
    assert (unanswered.value, unanswered.reached) == ("6 of 6", False)
    ratio = found["small: INT8 faster than FP32"]
    # A double is as fast in every precision, but a machine that stands still for a moment is not.
    assert ratio.reached is (float(ratio.value.split()[0]) >= 2.1)


def test_the_loop_says_the_same_with_either_preprocess(gpu: on_gpu.Gpu) -> None:
    memory, cuda = gpu.memory, gpu.cuda
    picture, scores = memory.allocate((1, 3, 8, 8), np.float32), memory.allocate((1, 4), np.float32)

    class Queue:
        context, stream, output = memory.context, memory.stream, scores.host

        def enqueue(self) -> None:
            cuda.recording(self.infer)()

        def infer(self) -> bool:
            good = 0.5 + 0.4 * float(np.sin(picture.host[0, 1].mean()))
            scores.host[0] = [0, good, 1 - good, 0]
            return True

    def kernel(source: str) -> FrameKernel:
        shape, out = picture.host.shape, picture.device
        return GpuPreprocess(cuda, memory, source, "8.7", shape=shape, out=out)

    queue = Queue()
    like = load_manifest(engine_path("shipped:gate"))
    manifest = like.model_copy(update={"input": like.input.model_copy(update={"width": 8, "height": 8})})
    cuda.preprocess = preprocess_of(manifest, None)
    engine = LoadedEngine(manifest, picture.host, scores.host, lambda: None, gpu=queue, kernel=kernel)
    found = values(loop.in_the_loop(engine, "small"))
    assert cuda.pictures == 3
    assert found["small: parts without an answer"].value == "0 of 6"
    assert found["small: scores apart, CPU's and GPU's preprocess"].reached
    cuda.preprocess = _core.Preprocess(out_width=8, out_height=8)  # a kernel that computes something else
    found = values(loop.in_the_loop(engine, "small"))
    assert not found["small: scores apart, CPU's and GPU's preprocess"].reached


def quantised_net() -> bytes:
    import tempfile

    from engines.graph import load_simplified
    from engines.precision import PrecisionPlan
    from engines.qdq import tensorrt_qdq
    from engines.scales import observe

    with tempfile.TemporaryDirectory() as folder:
        model = load_simplified(save(small_net((1, 3, 8, 8)), Path(folder) / "m.onnx"))
    pictures = [np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)]
    scales = observe(model, pictures, _core.CalibrationHistogram).scales("minmax")
    made = tensorrt_qdq(model, PrecisionPlan().resolve(model), scales)
    assert np.isfinite(outputs(made, pictures)).all()
    return bytes(made.SerializeToString())


def test_without_a_gpu_the_rest_is_shown_and_the_gap_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_driver() -> Device:
        raise proof.DeviceError("no libcuda on this machine")

    monkeypatch.setattr(proof, "find_device", no_driver)
    model, out = save(small_net(classes=6), tmp_path / "m.onnx"), tmp_path / "proof.json"
    with pytest.raises(SystemExit) as ended:
        proof.main(["--model", str(model), "--pictures", "24", "--out", str(out)])
    assert ended.value.code == 0
    steps = {step["name"]: step for step in json.loads(out.read_text())["steps"]}
    assert steps["kernel, as C++"]["state"] == steps["artifacts"]["state"] == "shown"
    for name in ("driver", "launches", "kernel, on the GPU", "frames in place", "torch", "TensorRT"):
        assert (steps[name]["state"], steps[name]["why"]) == ("not shown", "no libcuda on this machine")
    said = " ".join(capsys.readouterr().out.split())
    assert "Not proven by this run" in said
    assert "native code launches CUDA graphs without the GIL" in said
    assert "a Jetson" in said


def test_a_step_ends_in_one_of_three_ways() -> None:
    def ends(run: Callable[[], Any], deadline: float = 1e18) -> tuple[str, str]:
        outcome = run_step(Step("s", "c", run), deadline)
        return outcome.state, outcome.why

    def missing() -> list[Figure]:
        raise NotHereError("no torch")

    def broken() -> list[Figure]:
        raise ValueError("odd")

    assert ends(lambda: [Figure("a", "1", "≤ 2", True)]) == ("shown", "")
    assert ends(lambda: [Figure("a", "3", "≤ 2", False)]) == ("failed", "missed: a")
    assert ends(missing) == ("not shown", "no torch")
    assert ends(broken) == ("failed", "ValueError: odd")
    assert ends(broken, deadline=0)[0] == "not shown"


def test_times_and_brightness_are_read_from_what_the_gpu_leaves() -> None:
    assert percentiles_us(list(range(1000, 101_000, 1000))) == (51.0, 100.0, 100.0)
    words = np.array([100 * 256 * 50, (7 << 32) | 5], np.uint64)
    assert read_stats(words, 50) == (100.0, 0.1, 0.14)
