"""The engines that would like to run, asked about frames of the line; preprocess, routing and rules are the loop's."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge import _core
from edge._core import FrameView, Reason, Route, Verdict
from edge.camera.flat_field import load_map
from edge.errors import ConfigError
from edge.inspection.engines import load_pair, preprocess_of
from edge.inspection.native import SECOND_VIEWS, class_roles, routing_row, score_calibration
from edge.inspection.recipe import Recipe
from edge.inspection.rules import native_rules
from edge.inspection.settings import InspectionConfig
from engines.loaded import LoadedEngine


@dataclass(frozen=True)
class Opinion:
    """What one side says about one part."""

    verdict: Verdict
    label: str
    """Name of the class that whoever settled the part gives it."""
    escalated: bool
    valid: bool = True
    """False: an engine said NaN."""


class Candidate:
    """Not thread-safe: the engines' buffers are the object's own."""

    def __init__(
        self, line: InspectionConfig, gate: Path, classifier: Path | None, recipe: Recipe | None = None
    ) -> None:
        """``line``: what its inspection process was told; ``recipe`` replaces its thresholds.

        Raises EngineError: engines that cannot be loaded or do not fit each other; ConfigError: several frames a part,
        rules for a class that they do not know.
        """
        if line.fusion.frames > 1:
            raise ConfigError(
                f"fusion.frames is {line.fusion.frames}: a shadow sees one frame of each part; expected 1"
            )
        self._gate, self._classifier = load_pair(gate, classifier, 1)
        self.classes = self._gate.manifest.classes
        self._line = line
        decides = recipe or line
        flat_field = load_map(line.flat_field).native() if line.flat_field else None
        self._prepare = {
            id(engine): preprocess_of(engine.manifest, line.roi, flat_field)
            for engine in (self._gate, self._classifier)
            if engine is not None
        }
        self._view, self._wanted = SECOND_VIEWS[decides.retest.view], decides.retest.brightness_mean
        rules, zones = native_rules(decides.rules, self.classes)
        self._router = _core.PartRouter(
            rows=[routing_row(step) for step in decides.routing],
            roles=class_roles(decides.rules, self._gate.manifest),
            gate=score_calibration(decides.scores.gate),
            classifier=score_calibration(decides.scores.classifier),
            rules=_core.RuleBook(rules, zones),
        )
        self.gate_ms: list[float] = []
        self.classifier_ms: list[float] = []
        """Processor time of each run, on an ordinary thread."""

    @property
    def hashes(self) -> dict[str, str]:
        """Role → SHA-256 of the model."""
        both = {"gate": self._gate, "classifier": self._classifier}
        return {role: engine.manifest.sha256 for role, engine in both.items() if engine is not None}

    def judge(self, frame: FrameView, speed_um_per_s: int) -> Opinion:
        """With time enough for every look. Raises CoreError: a frame that does not fit the preprocess."""
        stats = self._fill(self._gate, frame)
        gate = self._ask(self._gate, self.gate_ms)
        said = self._route(gate, None, None, speed_um_per_s)
        if self._classifier is not None and said["reason"][0] == Reason.UNCERTAIN:
            stats = self._fill(self._classifier, frame)
            second = self._ask(self._classifier, self.classifier_ms)
            said = self._route(gate, second, self._again(self._classifier, stats.mean), speed_um_per_s)
        label = self.classes[int(said["class_id"][0])]
        reason, way = Reason(int(said["reason"][0])), Route(int(said["route"][0]))
        escalated = way is Route.CLASSIFIER or reason is Reason.UNCERTAIN
        return Opinion(Verdict(int(said["verdict"][0])), label, escalated, reason is not Reason.ENGINE)

    def _fill(self, engine: LoadedEngine, frame: FrameView) -> _core.FrameStats:
        prepare = self._prepare[id(engine)]
        return prepare.into(
            frame.pixels, frame.width, frame.height, frame.stride, frame.pixel_format, engine.input
        )

    def _again(self, engine: LoadedEngine, mean: float) -> NDArray[np.float32] | None:
        made = _core.make_second_view(
            self._view,
            self._prepare[id(engine)],
            engine.input,
            brightness_mean=mean,
            brightness_wanted=self._wanted,
        )
        return self._ask(engine, self.classifier_ms) if made else None

    @staticmethod
    def _ask(engine: LoadedEngine, took_ms: list[float]) -> NDArray[np.float32]:
        start = time.thread_time_ns()
        engine.run()
        took_ms.append((time.thread_time_ns() - start) / 1e6)
        return np.array(engine.scores.reshape(1, -1), np.float32)

    def _route(
        self,
        gate: NDArray[np.float32],
        second: NDArray[np.float32] | None,
        again: NDArray[np.float32] | None,
        speed_um_per_s: int,
    ) -> dict[str, NDArray[np.uint8] | NDArray[np.int64]]:
        return self._router.route(
            gate,
            second,
            again,
            speeds_um_per_s=np.array([speed_um_per_s], np.int64),
            looks_in_time=np.array([2], np.uint8),
        )
