"""Engines as the loop wants them: manifest, preprocess, buffers."""

import logging
from pathlib import Path

from edge import _core
from edge.camera.settings import Roi
from edge.errors import EngineError
from edge.inspection.boxes import box_scores
from engines.errors import EnginesError, RunError
from engines.load import load_engine
from engines.loaded import LoadedEngine
from engines.manifest import EngineManifest

_log = logging.getLogger(__name__)
_GRAPH_TIMEOUT_NS = 250_000_000
"""Far beyond any budget: only a GPU that hangs takes longer."""


def preprocess_of(
    manifest: EngineManifest, roi: Roi | None, flat_field: _core.FlatField | None = None
) -> _core.Preprocess:
    """The one preprocess that training, calibration and the line share."""
    spec = manifest.input
    return _core.Preprocess(
        out_width=spec.width,
        out_height=spec.height,
        channels=spec.channels,
        mean=spec.mean,
        std=spec.std,
        resize=spec.resize,
        roi=(roi.x, roi.y, roi.width, roi.height) if roi else None,
        flat_field=flat_field,
    )


def load_pair(gate: Path, classifier: Path | None, threads: int) -> tuple[LoadedEngine, LoadedEngine | None]:
    """Loads gate and classifier and checks that they speak of the same classes; raises EngineError."""
    try:
        first = load_engine(gate, threads, box_scores)
        second = load_engine(classifier, threads, box_scores) if classifier else None
    except EnginesError as error:
        raise EngineError(str(error)) from error
    if second is not None:
        for key in ("classes", "good_class", "empty_class"):
            a, b = getattr(first.manifest, key), getattr(second.manifest, key)
            if a != b:
                raise EngineError(
                    f"{classifier}: {key} is {b}, but the gate ({gate}) has {a}; expected the same: "
                    "train both on the same data set"
                )
    return first, second


def slot_of(
    engine: LoadedEngine, roi: Roi | None, flat_field: _core.FlatField | None = None
) -> _core.EngineSlot:
    """What the native loop calls: a CUDA graph where the engine can be captured, else its ``run``."""
    return _core.EngineSlot(
        preprocess=preprocess_of(engine.manifest, roi, flat_field),
        input=engine.input,
        output=engine.scores,
        run=engine.run,
        boxes=engine.decoder if isinstance(engine.decoder, _core.BoxScores) else None,
        graph=captured(engine),
        raw=engine.gpu.output if engine.gpu else None,
    )


def gpu_ring(region: _core.Region, engine: LoadedEngine) -> _core.CudaRing | None:
    """The frame ring, mapped for the engine's GPU; None: it runs on a CPU, or the driver refuses, which is logged."""
    if engine.gpu is None:
        return None
    try:
        return _core.CudaRing(region, context=engine.gpu.context)
    except _core.CoreError as error:
        _log.warning("the frame ring is not mapped for the GPU (%s); the line runs without", error)
        return None


def captured(engine: LoadedEngine) -> _core.CudaGraph | None:
    """The engine's inference as a CUDA graph; None: it runs on a CPU, or cannot be captured, which is logged."""
    queue = engine.gpu
    if queue is None:
        return None
    graph = _core.CudaGraph(context=queue.context, stream=queue.stream, timeout_ns=_GRAPH_TIMEOUT_NS)
    try:
        engine.run()  # TensorRT makes up its mind about memory in its first run, which no capture may see
        graph.begin_capture()
        try:
            queue.enqueue()
        finally:
            graph.end_capture()
    except (_core.CoreError, RunError) as error:
        _log.warning("%s: no CUDA graph (%s); it is launched from Python", engine.manifest.name, error)
        return None
    return graph
