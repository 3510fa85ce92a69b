"""How good and fast a detector gate is, through ONNX Runtime and the native decoder, as on the line."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edge.inspection.boxes import box_scores
from engines.manifest import EngineManifest
from engines.onnx_cpu import load_cpu_engine
from tools import measure as classes
from tools.dataset import normalise
from tools.detector.metrics import Picture, iou, mean_average_precision
from tools.detector.sets import TWIN_BOX_CLASSES, BoxSet
from tools.measure import in_turn_ms

_EDGES_EV = (-2.01, -1.0, -0.5, 0.5, 1.0, 2.01)


@dataclass(frozen=True)
class Measured:
    """On unseen parts."""

    parts: int
    accuracy: float
    escape_rate: float
    """Defective parts whose highest score is "flawless"."""
    box_iou: float
    """Mean over the parts, of the part's own box."""
    map50: float
    """Over the part and the defects."""
    defects_map50: float
    by_exposure: dict[str, float]
    """Range of EV → accuracy."""
    card: str
    """Markdown."""

    def report(self) -> dict[str, object]:
        """All but the tables."""
        return {name: value for name, value in vars(self).items() if name != "card"}


def measure(manifest: EngineManifest, test: BoxSet) -> Measured:
    """Part by part. The manifest's own numbers are not looked at."""
    engine = load_cpu_engine(manifest, 1, box_scores)
    decoder = engine.decoder
    assert decoder is not None
    scores = np.empty((len(test.images), len(manifest.classes)), np.float32)
    pictures, ious = [], []
    mean, std = manifest.input.mean, manifest.input.std
    for index, image in enumerate(test.images):
        engine.input[:] = normalise(image[None], mean, std)
        engine.run()
        scores[index] = engine.scores[0]
        found = decoder.detections  # type: ignore[attr-defined]
        real = test.classes[index] >= 0
        boxes, box_classes = test.boxes[index][real], test.classes[index][real]
        pictures.append(Picture(boxes, box_classes, found[:, :4], found[:, 5].astype(np.int64), found[:, 4]))
        if len(box_classes) and box_classes[0] == 0:
            part = np.array(decoder.part[:4], np.float32)  # type: ignore[attr-defined]
            ious.append(float(iou(part[None], boxes[:1])[0, 0]))
    right = scores.argmax(1) == test.labels
    defects = [_without_part(picture) for picture in pictures]
    return Measured(
        parts=len(scores),
        accuracy=float(right.mean()),
        escape_rate=classes.escape_rate(scores, test.labels),
        box_iou=float(np.mean(ious)),
        map50=mean_average_precision(pictures, len(TWIN_BOX_CLASSES)),
        defects_map50=mean_average_precision(defects, len(TWIN_BOX_CLASSES)),
        by_exposure={
            f"{low:+.1f}..{high:+.1f}": round(float(right[inside].mean()), 4)
            for low, high in pairwise(_EDGES_EV)
            if (inside := (test.exposure_ev >= low) & (test.exposure_ev < high)).any()
        },
        card=classes.card(scores, test.labels),
    )


def _without_part(picture: Picture) -> Picture:
    real, found = picture.classes != 0, picture.found_classes != 0
    return Picture(
        picture.boxes[real],
        picture.classes[real],
        picture.found[found],
        picture.found_classes[found],
        picture.scores[found],
    )


def latencies_ms(manifests: list[EngineManifest], runs: int = 270) -> list[float]:
    """Medians of alternating runs, decoding included, so that a busy machine disturbs all alike."""
    engines = [load_cpu_engine(manifest, 1, box_scores) for manifest in manifests]
    return [float(value) for value in np.median(in_turn_ms([engine.run for engine in engines], runs), 0)]
