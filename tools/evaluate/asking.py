"""From a line file and a set of parts to predictions: loads the engines, shows progress."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from calibration.predictions import Judge, LabelledFrame, Predictions, predict
from edge import _core
from edge.config import LineConfig, engine_path, load_line
from edge.errors import ConfigError
from edge.inspection.engines import load_pair, preprocess_of
from edge.inspection.native import SECOND_VIEWS
from engines.manifest import EngineManifest
from tools.evaluate.boxes import BoxJudge

console = Console(stderr=True)


_TIMED_RUNS, _TIMED_S = 1400, 20.0


@dataclass(frozen=True)
class LineTiming:
    """Median and p99.9 of the engines as the loop would measure them when it starts, ms."""

    gate_ms: float
    classifier_ms: float
    gate_p999_ms: float
    classifier_p999_ms: float
    real_time: bool
    """False: this process may not use SCHED_FIFO, and a busy machine is in the figures."""


class Pair:
    """Gate and classifier of a line, ready to be asked from Python."""

    def __init__(self, line: LineConfig, gate: Path | None = None, classifier: Path | None = None) -> None:
        """Paths replace the line's engines. Raises EngineError, ConfigError."""
        if line.engines.classifier is None and classifier is None:
            raise ConfigError(
                f"line {line.name}: no classifier; expected one to route to: add it or give --classifier"
            )
        first, second = load_pair(
            gate or engine_path(line.engines.gate),
            classifier or engine_path(str(line.engines.classifier)),
            line.engines.threads,
        )
        assert second is not None
        self.line = line
        self.gate_manifest: EngineManifest = first.manifest
        self.classifier_manifest: EngineManifest = second.manifest
        roi = line.camera.roi
        clock = time.thread_time_ns if line.engines.threads == 1 else time.perf_counter_ns
        self._boxes = (
            BoxJudge(first.decoder, first.manifest, roi)
            if isinstance(first.decoder, _core.BoxScores)
            else None
        )
        self._gate = Judge(preprocess_of(first.manifest, roi), first, clock)
        self._classifier = Judge(preprocess_of(second.manifest, roi), second, clock)

    @property
    def hashes(self) -> dict[str, str]:
        """Role → SHA-256 of the model."""
        return {"gate": self.gate_manifest.sha256, "classifier": self.classifier_manifest.sha256}

    def box_figures(self) -> tuple[float | None, float | None]:
        """IoU of the part and mAP at 0.5 over the frames asked about; None for a gate without boxes."""
        if self._boxes is None:
            return None, None
        manifest = self.gate_manifest
        others = (manifest.good_class, manifest.empty_class)
        return self._boxes.figures([i for i, name in enumerate(manifest.classes) if name not in others])

    def ask(self, frames: Iterable[LabelledFrame], total: int, what: str, view: str) -> Predictions:
        """Predictions with the second look ``view`` of every part."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=total)
            return predict(
                frames,
                len(self.gate_manifest.classes),
                self._gate,
                self._classifier,
                view=SECOND_VIEWS[view],
                brightness_wanted=self.line.retest.brightness_mean,
                after_gate=self._boxes.add if self._boxes else lambda frame: None,
                progress=_every(20, lambda done: bar.update(task, completed=done)),
            )

    def timing(self) -> LineTiming:
        """Alternates the engines on a real-time thread where that is permitted, as the loop's warm-up does."""
        took = np.zeros((_TIMED_RUNS, 2))
        done, real_time = 0, False

        def measure() -> None:
            nonlocal done, real_time
            real_time = _core.set_fifo_priority(50)
            end_s = time.monotonic() + _TIMED_S
            while done < _TIMED_RUNS and (done < 50 or time.monotonic() < end_s):
                for column, judge in enumerate((self._gate, self._classifier)):
                    start = time.perf_counter_ns()
                    judge.engine.run()
                    took[done, column] = (time.perf_counter_ns() - start) / 1e6
                # The kernel stops a real-time thread that takes more than 95 % of a second.
                time.sleep((took[done].sum() * 0.2) / 1000)
                done += 1

        thread = threading.Thread(target=measure)
        thread.start()
        thread.join()
        # Seven slices, and of these the usual one: what stops this process once is not the engine.
        slices = np.array_split(took[done // 10 : done], 7)
        usual = np.median(took[done // 10 : done], axis=0).tolist()
        worst = np.median([np.quantile(part, 0.999, axis=0) for part in slices], axis=0).tolist()
        return LineTiming(usual[0], usual[1], worst[0], worst[1], real_time)


def _every(parts: int, call: Callable[[int], None]) -> Callable[[int], None]:
    def progress(done: int) -> None:
        if done % parts == 0:
            call(done)

    return progress


def line_of(path: Path | None, example: str = "demo.yaml") -> LineConfig:
    """The given line file, or one of the examples."""
    from edge.config import example_path

    return load_line(path or example_path(example))
