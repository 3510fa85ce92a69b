"""Engines as the loop wants them: manifest, preprocess, buffers."""

from pathlib import Path

from edge import _core
from edge.camera.settings import Roi
from edge.errors import EngineError
from edge.inspection.boxes import box_scores
from edge.inspection.gpu import GpuFrames, inference_graph
from engines.errors import EnginesError
from engines.load import load_engine
from engines.loaded import LoadedEngine
from engines.manifest import EngineManifest


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
    engine: LoadedEngine,
    roi: Roi | None,
    flat_field: _core.FlatField | None = None,
    frames: GpuFrames | None = None,
) -> _core.EngineSlot:
    """What the native loop calls: CUDA graphs where the engine can be captured, else its ``run``."""
    preprocess, graph = preprocess_of(engine.manifest, roi, flat_field), inference_graph(engine)
    return _core.EngineSlot(
        preprocess=preprocess,
        input=engine.input,
        output=engine.scores,
        run=engine.run,
        boxes=engine.decoder if isinstance(engine.decoder, _core.BoxScores) else None,
        graph=graph,
        raw=engine.gpu.output if engine.gpu else None,
        frames=frames.way(engine, preprocess) if frames and graph else None,
    )
