"""Engines as the loop wants them: manifest, preprocess, buffers."""

from pathlib import Path

from edge import _core
from edge.camera.settings import Roi
from edge.errors import EngineError
from edge.inspection.boxes import box_scores
from engines.errors import BuildError, DeviceError, ManifestError, RunError, StoreError
from engines.load import load_engine
from engines.loaded import LoadedEngine
from engines.manifest import EngineManifest


def preprocess_of(manifest: EngineManifest, roi: Roi | None) -> _core.Preprocess:
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
    )


def load_pair(gate: Path, classifier: Path | None, threads: int) -> tuple[LoadedEngine, LoadedEngine | None]:
    """Loads gate and classifier and checks that they speak of the same classes; raises EngineError."""
    try:
        first = load_engine(gate, threads, box_scores)
        second = load_engine(classifier, threads, box_scores) if classifier else None
    except (ManifestError, StoreError, DeviceError, BuildError, RunError) as error:
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


def slot_of(engine: LoadedEngine, roi: Roi | None) -> _core.EngineSlot:
    """What the native loop calls."""
    return _core.EngineSlot(
        preprocess=preprocess_of(engine.manifest, roi),
        input=engine.input,
        output=engine.scores,
        run=engine.run,
        boxes=engine.decoder if isinstance(engine.decoder, _core.BoxScores) else None,
    )
