"""Engines on a GPU as the native loop launches them: captured graphs, and frames judged where the camera put them."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import edge
from edge import _core
from engines.errors import EnginesError, RunError
from engines.loaded import FrameKernel, GpuQueue, LoadedEngine
from engines.tensorrt.driver import LIBRARY

_log = logging.getLogger(__name__)
GRAPH_TIMEOUT_NS = 250_000_000
"""Far beyond any budget: only a GPU that hangs takes longer."""
KERNEL = Path(edge.__file__).parent / "core" / "cuda_preprocess.cuh"
FrameShape = tuple[int, int, _core.PixelFormat]


def inference_graph(engine: LoadedEngine) -> _core.CudaGraph | None:
    """The engine's inference as a CUDA graph; None: it runs on a CPU, or cannot be captured, which is logged.

    Raises CoreError: an engine of a GPU, and no driver.
    """
    queue = engine.gpu
    if queue is None:
        return None
    graph = _graph(queue)
    try:
        engine.run()  # TensorRT makes up its mind about memory in its first run, which no capture may see
        capture(graph, queue.enqueue)
    except (_core.CoreError, RunError) as error:
        _log.warning("%s: no CUDA graph (%s); it is launched from Python", engine.manifest.name, error)
        return None
    return graph


@dataclass(frozen=True)
class _Path:
    """One engine's way from the frame to the scores."""

    name: str
    preprocess: _core.Preprocess
    kernel: FrameKernel
    native: _core.CudaFramePath


class GpuFrames:
    """The frame ring as the engines' GPU sees it, and their ways from a frame in it to their scores.

    Until ``follow`` was told what the frames are like, and where anything of it cannot be made (which is logged), the
    loop prepares the engines' inputs on the CPU.
    """

    def __init__(self, region: _core.Region) -> None:
        self._region, self._refused = region, False
        self._ring: _core.CudaRing | None = None
        self._paths: list[_Path] = []
        self._shape: FrameShape | None = None

    def way(self, engine: LoadedEngine, preprocess: _core.Preprocess) -> _core.CudaFramePath | None:
        """Preprocess and inference as one graph. None: on a CPU, or it cannot be made."""
        queue, make = engine.gpu, engine.kernel
        ring = None if queue is None else self._mapped(queue.context)
        if queue is None or make is None or ring is None:
            return None
        graph = _graph(queue)
        try:
            kernel = make(KERNEL.read_text(encoding="utf-8"))

            def both() -> None:
                kernel.enqueue()
                queue.enqueue()

            kernel.enqueue()  # its code is loaded by its first launch, which no capture may see either
            capture(graph, both)
        except (_core.CoreError, EnginesError) as error:
            _log.warning("%s: frames are preprocessed on the CPU (%s)", engine.manifest.name, error)
            return None
        native = _core.CudaFramePath(
            ring=ring,
            graph=graph,
            frame=kernel.frame,
            stats=kernel.counted,
            outputs=math.prod(preprocess.shape[2:]),
        )
        self._paths.append(_Path(engine.manifest.name, preprocess, kernel, native))
        return native

    def follow(self, shape: FrameShape | None) -> None:
        """``shape``: width, height and format of the frames now. Another one than before: every kernel gets its tables.

        Meanwhile the loop goes on with the CPU's preprocess. On the thread that loaded the engines.
        """
        if shape is None or shape == self._shape:
            return
        self._shape = shape
        for path in self._paths:
            path.native.close()
            try:
                path.kernel.set_tables(_core.cuda_tables(path.preprocess, shape[0], shape[1], 0, shape[2]))
            except (_core.CoreError, EnginesError) as error:
                _log.warning("%s: frames are preprocessed on the CPU (%s)", path.name, error)
            else:
                path.native.open(*shape)

    def _mapped(self, context: int) -> _core.CudaRing | None:
        if self._ring is None and not self._refused:
            try:
                self._ring = _core.CudaRing(self._region, context=context, library=LIBRARY)
            except _core.CoreError as error:
                self._refused = True
                _log.warning("the frame ring is not mapped for the GPU (%s); the line runs without", error)
        return self._ring


def _graph(queue: GpuQueue) -> _core.CudaGraph:
    return _core.CudaGraph(
        context=queue.context, stream=queue.stream, timeout_ns=GRAPH_TIMEOUT_NS, library=LIBRARY
    )


def capture(graph: _core.CudaGraph, enqueue: Callable[[], None]) -> None:
    """What ``enqueue`` puts into the stream becomes the graph. Raises CoreError, and whatever ``enqueue`` raises."""
    graph.begin_capture()
    try:
        enqueue()
    finally:
        graph.end_capture()
