"""Beside a running line: parts worth a label go into a queue, its statistics are held against a calibration set.

A process of its own that reads region and ring and writes nothing there. Every record is asked what it is worth;
features are made of as many parts as ``share`` of one processor allows, the newest first, never a backlog.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.bank import Bank, Look, bank_of, look_at
from calibration.drift import Drift, compare
from calibration.errors import CalibrationError
from calibration.pictures import Picture
from calibration.queue import Asked, Novelty, Queue, worth_of
from calibration.taps import Backbone, Extractor, backbone_sha256, open_backbone
from calibration.work import now
from edge._core import FrameStatus, FrameView, Reason, Route, Verdict
from edge.inspection.settings import RecipeConfig
from edge.records.recording import encode, picture_of
from edge.shadow.follow import JUDGED, Followed
from engines.manifest import load_manifest
from engines.whole_file import write_whole

DRIFT = "drift.json"
_BATCH = 1024
_LOOK_S = 0.005


@dataclass
class Seen:
    """What became of the parts since it began."""

    parts: int = 0
    """That the line's engines judged."""
    looked_at: int = 0
    queued: int = 0
    missed: int = 0
    """Worth a label, or to be looked at, and their frame had left the ring."""
    windows: int = 0
    drifted: int = 0


class Eye:
    """Features of live parts beside those of the calibration set. One window of parts at a time is compared."""

    def __init__(self, line: Followed, then: Bank, window: int) -> None:
        """Raises CalibrationError: no engine of the line is the one that looked at the calibration set."""
        self.recipe, self._backbone = _same_engine(line, then)
        self._then, self._window = then, window
        self._extractor = Extractor(self._backbone)
        self._novelty = Novelty(then.taps)
        self._looks: list[Look] = []

    def sees(self, record: np.void) -> bool:
        """Whether this part is of the product that the calibration set shows."""
        return int(record["recipe"]) == self.recipe.number

    def look(self, view: FrameView) -> float:
        """Its novelty: 1 is the farthest percent of the calibration set."""
        found = look_at(self._extractor, picture_of(view), view.pixel_format)
        self._looks.append(found)
        return self._novelty(found[0])

    def drift(self) -> Drift | None:
        """Of a window that is full; the next one begins. None: not yet."""
        if len(self._looks) < self._window:
            return None
        label = self._then.classes[0]  # nobody has said what they show, and no distance asks
        pictures = [Picture(Path(str(i)), label) for i in range(len(self._looks))]
        today = bank_of(self._backbone, pictures, self._looks, self._then.classes)
        self._looks.clear()
        return compare(self._then, today)


def _same_engine(line: Followed, then: Bank) -> tuple[RecipeConfig, Backbone]:
    found = []
    for recipe in (line.config, *line.config.recipes):
        for path in (recipe.classifier, recipe.gate):
            if path is None:
                continue
            manifest = load_manifest(path)
            found.append(f"{manifest.name} {manifest.sha256[:12]}")
            if backbone_sha256(manifest.model_path) == then.backbone:
                return recipe, open_backbone(manifest)
    raise CalibrationError(
        f"the bank is of the model {then.backbone[:12]}, the line runs {', '.join(found)}; expected one of them: "
        "make it with 'edge calibrate bank' and the line's own classifier"
    )


class Feed:
    """From records to queue and drift."""

    def __init__(self, line: Followed, out: Path, eye: Eye | None, queue: Queue) -> None:
        self._line, self._out, self._eye, self._queue = line, out, eye, queue
        self.seen = Seen()

    def take(self, records: Iterable[np.void]) -> None:
        """All that came since the last call. Raises CalibrationError: disk."""
        judged = [r for r in records if r["verdict"] != Verdict.NONE and int(r["reason"]) in JUDGED]
        self.seen.parts += len(judged)
        for record in judged:
            worth = _worth(record, 0.0)
            if worth is not None and self._queue.wants(worth[0]):
                self._keep(record, *worth)
        if self._eye is not None and (own := [r for r in judged if self._eye.sees(r)]):
            self._look(self._eye, own[-1])

    def _look(self, eye: Eye, record: np.void) -> None:
        view = self._frame(record)
        if view is None:
            return
        novelty = eye.look(view)
        self.seen.looked_at += 1
        worth = _worth(record, novelty)
        if worth is not None and worth[1] == "novel" and self._queue.wants(worth[0]):
            self._keep(record, *worth, view)
        if (drift := eye.drift()) is not None:
            self._tell(drift)

    def _tell(self, drift: Drift) -> None:
        self.seen.windows += 1
        self.seen.drifted += bool(drift.moved)
        said = {"time": now(), **asdict(drift), "in_words": drift.in_words(), "seen": asdict(self.seen)}
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            write_whole(self._out / DRIFT, json.dumps(said, indent=1) + "\n")
        except OSError as error:
            raise CalibrationError(f"{self._out}: {error.strerror}; make room: the line goes on") from error
        if drift.moved:
            print(f"DRIFT: {drift.in_words()}", flush=True)

    def _keep(self, record: np.void, worth: float, why: str, view: FrameView | None = None) -> None:
        view = view or self._frame(record)
        if view is None:
            return
        part = f"{int(record['part_id'])}@{self._line.ring.identity}"
        scores = tuple(round(float(record[name]), 5) for name in _TOLD)
        asked = Asked(part, f"{part}.png", round(worth, 5), why, scores)
        self.seen.queued += self._queue.add(asked, encode(view))

    def _frame(self, record: np.void) -> FrameView | None:
        view = self._line.region.copy_frame(int(record["part_id"]))
        if view is None or view.status is not FrameStatus.OK or view.frame_id != record["frame_id"]:
            self.seen.missed += 1
            return None
        return view


_GATE = ("gate_good", "gate_defect", "gate_empty")
_CLASSIFIER = ("classifier_good", "classifier_defect")
_TOLD = (*_GATE, *_CLASSIFIER)
_UNCERTAIN = (0.5, "uncertain")


def _worth(record: np.void, novelty: float) -> tuple[float, str] | None:
    """What the line itself rejects as uncertain is always worth a label."""
    found = worth_of(*_scores(record), novelty=novelty)
    return _UNCERTAIN if found is None and record["reason"] == Reason.UNCERTAIN else found


def _scores(record: np.void) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    gate, second = (
        np.nan_to_num(np.array([record[name] for name in names], np.float32))
        for names in (_GATE, _CLASSIFIER)
    )
    return gate, np.append(second, np.float32(0)) if record["route"] == Route.CLASSIFIER else None


def follow(line: Followed, feed: Feed, *, share: float, over: Callable[[Seen], bool]) -> None:
    """Until the line ends or ``over`` says so, with ``share`` of one processor at most."""
    reader = line.ring.reader_at(line.ring.head)
    while not line.over and not over(feed.seen):
        begun = time.thread_time()
        waiting: deque[np.void] = deque(maxlen=_BATCH)
        while len(batch := reader.read(_BATCH)):
            waiting.extend(batch)
        feed.take(waiting)
        time.sleep(max(_LOOK_S, (time.thread_time() - begun) * (1 / share - 1)))
