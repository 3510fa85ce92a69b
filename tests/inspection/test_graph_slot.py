"""An engine on a GPU in the loop's slot: what happens where no graph can be made."""

from pathlib import Path

import numpy as np
import pytest

from edge import _core
from edge.config import engine_path
from edge.inspection.engines import slot_of
from edge.inspection.gpu import GpuFrames, inference_graph
from engines.load import load_engine
from engines.loaded import FrameKernel, LoadedEngine
from engines.manifest import load_manifest


class Queue:
    """A GPU's queue on a machine without one."""

    context = stream = 0

    def __init__(self) -> None:
        self.output = np.zeros((1, 6), np.float32)

    def enqueue(self) -> None:
        raise AssertionError("nothing may be captured without a driver")


def no_kernel(source: str) -> FrameKernel:
    raise AssertionError("nothing is compiled where the ring is not mapped")


def test_an_engine_of_the_cpu_has_no_graph() -> None:
    engine = load_engine(engine_path("shipped:gate"))
    assert inference_graph(engine) is None
    slot_of(engine, None)


def test_a_gpu_engine_without_a_driver_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = load_manifest(engine_path("shipped:gate"))
    image, scores = np.zeros((1, 3, 144, 192), np.float32), np.zeros((1, 6), np.float32)
    engine = LoadedEngine(manifest, image, scores, lambda: None, gpu=Queue(), kernel=no_kernel)
    try:
        _core.CudaGraph(context=0, stream=0, timeout_ns=1)
    except _core.CoreError as error:
        assert "ONNX Runtime engines" in str(error)
    else:
        pytest.skip("there is an NVIDIA driver here")
    with pytest.raises(_core.CoreError, match=r"libcuda\.so\.1: cannot be loaded"):
        slot_of(engine, None)
    region = _core.Region.create(str(tmp_path / "region"), frame_slots=2, slot_bytes=4096)
    preprocess = _core.Preprocess(out_width=192, out_height=144)
    assert GpuFrames(region).way(engine, preprocess) is None
    assert "the line runs without" in caplog.text
