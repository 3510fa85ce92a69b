"""What gate and classifier say about many parts, with the truth: the raw material of calibration and evaluation.

Frames go through the runtime's own preprocess and engines, one part at a time as on the line. Gate, classifier and
second look alternate part by part, so that a busy machine slows all of them alike.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from edge import _core

Floats = NDArray[np.float32]
Progress = Callable[[int], None]


class RunnableEngine(Protocol):
    """A loaded engine with fixed buffers, such as engines.loaded.LoadedEngine."""

    @property
    def input(self) -> NDArray[Any]:
        """What the preprocess fills."""

    @property
    def scores(self) -> Floats:
        """(1, classes), read after ``run``."""

    @property
    def run(self) -> Callable[[], object]:
        """One inference."""


@dataclass(frozen=True)
class Judge:
    """An engine and what feeds it."""

    preprocess: _core.Preprocess
    engine: RunnableEngine
    clock_ns: Callable[[], int] = time.perf_counter_ns
    """``time.thread_time_ns`` for an engine that runs on the caller's thread alone: then what else the machine does is
    not in the times, as it is not on a line, where that thread has real-time priority."""


@dataclass(frozen=True)
class LabelledFrame:
    """A frame as a camera delivers it, and its truth."""

    pixels: NDArray[np.uint8]
    """Flat."""
    width: int
    height: int
    stride: int
    pixel_format: _core.PixelFormat
    class_id: int
    exposure_ev: float = 0.0
    severity: float = float("nan")
    speed_m_per_s: float = float("nan")
    part_box: tuple[float, float, float, float] | None = None
    """x1, y1, x2, y2 in frame pixels."""
    defect_boxes: tuple[tuple[float, ...], ...] = ()
    """(class id, x1, y1, x2, y2) of every defect."""


@dataclass(frozen=True)
class Predictions:
    """N parts. Arrays have N rows; scores N × classes as the engines give them, not calibrated."""

    class_id: NDArray[np.int64]
    exposure_ev: Floats
    severity: Floats
    speed_m_per_s: Floats
    """NaN: the picture does not depend on it."""
    gate: Floats
    classifier: Floats
    again: Floats
    """The classifier's second look; rows of NaN where there was none."""
    gate_ms: Floats
    """Engine time alone."""
    classifier_ms: Floats
    again_ms: Floats
    prepare_ms: Floats
    """Preprocess for the gate."""
    brightness_mean: Floats
    dark_share: Floats
    bright_share: Floats
    sharpness: Floats
    part_box: Floats
    """N × 4, NaN without a part or without a box."""

    def __len__(self) -> int:
        return len(self.class_id)

    def pick(self, which: NDArray[Any]) -> "Predictions":
        """The parts of a mask or of indices."""
        return Predictions(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    @property
    def sha256(self) -> str:
        """Of truth and scores, in order; times do not count."""
        digest = hashlib.sha256()
        for name in ("class_id", "exposure_ev", "gate", "classifier", "again"):
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Raises CalibrationError when this is no file of predictions."""
        try:
            with np.load(path) as data:
                return cls(**{field.name: data[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError) as error:
            raise CalibrationError(
                f"{path}: not a file of predictions ({error}); remove it and run again"
            ) from error


def predict(
    frames: Iterable[LabelledFrame],
    classes: int,
    gate: Judge,
    classifier: Judge | None,
    *,
    view: _core.SecondView = _core.SecondView.NONE,
    brightness_wanted: float = 110.0,
    progress: Progress = lambda done: None,
    after_gate: Callable[[LabelledFrame], None] = lambda frame: None,
) -> Predictions:
    """Asks both engines about every frame; without a classifier its scores are NaN. ``after_gate`` may look at what the
    gate left behind.

    Raises CalibrationError for no frames, or an engine that gives something else than scores.
    """
    rows: list[dict[str, Any]] = []
    nothing = np.full(classes, np.nan, np.float32)
    for frame in frames:
        stats, prepare_ms = _prepare(gate, frame)
        sharpness = _core.sharpness(gate.preprocess, gate.engine.input)
        first, gate_ms = _ask(gate)
        after_gate(frame)
        second, again, classifier_ms, again_ms = nothing, nothing, np.nan, np.nan
        if classifier is not None:
            _prepare(classifier, frame)
            second, classifier_ms = _ask(classifier)
            if _core.make_second_view(
                view,
                classifier.preprocess,
                classifier.engine.input,
                brightness_mean=stats.mean,
                brightness_wanted=brightness_wanted,
            ):
                again, again_ms = _ask(classifier)
        box = frame.part_box
        rows.append(
            {
                "class_id": frame.class_id,
                "exposure_ev": frame.exposure_ev,
                "severity": frame.severity,
                "speed_m_per_s": frame.speed_m_per_s,
                "gate": first,
                "classifier": second,
                "again": again,
                "gate_ms": gate_ms,
                "classifier_ms": classifier_ms,
                "again_ms": again_ms,
                "prepare_ms": prepare_ms,
                "brightness_mean": stats.mean,
                "dark_share": stats.dark_share,
                "bright_share": stats.bright_share,
                "sharpness": sharpness,
                "part_box": (np.nan,) * 4 if box is None else box,
            }
        )
        progress(len(rows))
    if not rows:
        raise CalibrationError("no frames; expected at least one part")
    columns: dict[str, Any] = {
        name: np.array([row[name] for row in rows], np.int64 if name == "class_id" else np.float32)
        for name in rows[0]
    }
    return Predictions(**columns)


def _prepare(judge: Judge, frame: LabelledFrame) -> tuple[_core.FrameStats, float]:
    start = judge.clock_ns()
    stats = judge.preprocess.into(
        frame.pixels, frame.width, frame.height, frame.stride, frame.pixel_format, judge.engine.input
    )
    return stats, (judge.clock_ns() - start) / 1e6


def _ask(judge: Judge) -> tuple[Floats, float]:
    start = judge.clock_ns()
    judge.engine.run()
    took_ms = (judge.clock_ns() - start) / 1e6
    return judge.engine.scores.reshape(-1).copy(), took_ms
