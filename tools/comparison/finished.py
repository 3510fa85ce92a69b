"""Engines that are finished, each at its own input size, on the parts that the others are examined with."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edge.config import engine_path
from edge.inspection.boxes import box_scores
from engines.load import load_engine
from engines.loaded import LoadedEngine
from tools import measure
from tools.comparison.contestants import Settings
from tools.comparison.figures import Precision, Say, percentiles, sizes
from tools.comparison.sight import Sight
from tools.dataset import TEST, normalise
from tools.errors import TrainError
from tools.training.sets import Labelled
from tools.training.twin_sets import twin_set
from tools.twin.parts import CLASSES

SHIPPED = ("shipped:gate", "shipped:gate_detector", "shipped:classifier", "shipped:classifier_resnet50")
_RUNS = 300


@dataclass(frozen=True)
class Finished:
    """One engine, as a line runs it: a detector's time has the decoding of its boxes in it."""

    name: str
    size: str
    """WIDTHxHEIGHT of its input."""
    engine: Precision
    sight: Sight


def examine(names: Sequence[str], settings: Settings, say: Say) -> list[Finished]:
    """``names``: manifests, as in a line file. Raises TrainError: other classes than the twin's; EngineError."""
    engines = [_loaded(name) for name in names]
    times = measure.in_turn_ms([engine.run for engine in engines], _RUNS)
    found = []
    for column, (name, engine) in enumerate(zip(names, engines, strict=True)):
        size = (engine.input.shape[3], engine.input.shape[2])
        test = twin_set(TEST, settings.test_parts, settings.seed, size, settings.cache, look=settings.look)
        say(f"scoring {name} on {len(test.labels)} parts")
        sight = Sight.of(_scores(engine, test), test.labels)
        model = engine.manifest.model_path
        precision = Precision(sight.accuracy, *percentiles(times[:, column]), *sizes(model))
        found.append(
            Finished(Path(name).stem.removeprefix("shipped:"), f"{size[0]}x{size[1]}", precision, sight)
        )
    return found


def _loaded(name: str) -> LoadedEngine:
    engine = load_engine(engine_path(name), decoder=box_scores)
    if tuple(engine.manifest.classes) != CLASSES:
        raise TrainError(
            f"--engines {name}: its classes are {list(engine.manifest.classes)}; expected the twin's: {list(CLASSES)}"
        )
    return engine


def _scores(engine: LoadedEngine, test: Labelled) -> measure.Scores:
    prepared = partial(normalise, mean=engine.manifest.input.mean, std=engine.manifest.input.std)
    scores = np.empty((len(test.labels), len(CLASSES)), np.float32)
    for index in range(len(scores)):
        engine.input[:] = prepared(test.images[index : index + 1])
        engine.run()
        scores[index] = engine.scores[0]
    return scores
