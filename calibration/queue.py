"""Parts worth a label: uncertain ones, ones on which engines disagree, and novel ones. Bounded, on disk.

One file per part, named by its worth: the least worthy leaves when the queue is full.
"""

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.work import now
from engines.whole_file import write_whole

MOST = 500
_FLOOR = 1e-3


@dataclass(frozen=True)
class Asked:
    """A part that waits for a label."""

    part: str
    picture: str
    worth: float
    why: str
    """``uncertain``, ``disagree`` or ``novel``."""
    scores: tuple[float, ...]
    time: str = ""


@dataclass(frozen=True)
class Relabel:
    """What an operator said about a part, and where that came from."""

    picture: str
    label: str
    origin: str
    """``operator NAME``."""
    was: str = ""


class Novelty:
    """How far a part's features lie from those of the calibration set: 1 is the farthest percent there."""

    def __init__(self, known: NDArray[np.float32]) -> None:
        self._centre, self._spread = known.mean(0), known.std(0) + _FLOOR
        self._usual = float(np.quantile(self._distance(known), 0.99))

    def _distance(self, taps: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.abs((taps - self._centre) / self._spread).mean(-1), np.float32)

    def __call__(self, taps: NDArray[np.float32]) -> float:
        """Of one part."""
        return float(self._distance(taps) / max(self._usual, 1e-9))


def worth_of(
    gate: NDArray[np.float32], classifier: NDArray[np.float32] | None, novelty: float
) -> tuple[float, str] | None:
    """(worth 0 to 1, why), or None: nothing to be learned. ``gate``, ``classifier``: scores of the classes."""
    top = np.sort(classifier if classifier is not None else gate)[::-1]
    reasons = [(1.0 - float(top[0] - top[1]), "uncertain")]
    if classifier is not None and gate.argmax() != classifier.argmax():
        reasons.append((0.5 + 0.5 * float(min(gate.max(), classifier.max())), "disagree"))
    if novelty > 1:
        reasons.append((1.0 - 1.0 / (1.0 + novelty), "novel"))
    worth, why = max(reasons)
    return (worth, why) if worth >= 0.5 else None


class Queue:
    """A folder of at most ``most`` parts."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self.folder, self.most = folder, most

    def wants(self, worth: float) -> bool:
        """Whether such a part would find a place."""
        waiting = sorted(self.folder.glob("*.json"))
        return len(waiting) < self.most or waiting[0].name < f"{round(worth * 1e6):07d}-"

    def add(self, asked: Asked, picture: bytes | None = None) -> bool:
        """``picture``: a PNG file that is kept as ``asked.picture`` beside it, and leaves with it.

        False: the queue is full of worthier ones. Raises CalibrationError: disk.
        """
        if not self.wants(asked.worth):
            return False
        waiting = sorted(self.folder.glob("*.json"))
        row = {**asdict(asked), "time": asked.time or now()}
        try:
            for gone in waiting[: len(waiting) - self.most + 1]:
                (self.folder / json.loads(gone.read_text(encoding="utf-8"))["picture"]).unlink(
                    missing_ok=True
                )
                gone.unlink(missing_ok=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            if picture is not None:
                write_whole(self.folder / asked.picture, picture)
            name = f"{round(asked.worth * 1e6):07d}-{_safe(asked.part)}.json"
            write_whole(self.folder / name, json.dumps(row))
        except OSError as error:
            raise CalibrationError(
                f"{self.folder}: {error.strerror}; make room: the line goes on without it"
            ) from error
        return True

    def answered(self, picture: str) -> bool:
        """Somebody has said what it shows: it waits no longer; its file stays, a data set may name it."""
        for path in self.folder.glob("[0-9]*-*.json"):
            if json.loads(path.read_text(encoding="utf-8"))["picture"] == picture:
                path.unlink(missing_ok=True)
                return True
        return False

    def waiting(self) -> list[Asked]:
        """Worthiest first."""
        rows = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(self.folder.glob("*.json"), reverse=True)
        ]
        return [Asked(**{**row, "scores": tuple(row["scores"])}) for row in rows]


def relabel(data: Path, said: Relabel) -> None:
    """Writes an operator's word into a data set's manifest: the row of the picture changes its class, or is added.

    ``origin`` and ``was`` keep who said so, where the picture is from, and what was believed before. Raises
    CalibrationError.
    """
    columns = ["path", "class", "split", "group", "origin", "was"]
    try:
        rows = _rows(data)
        own = next((row for row in rows if row["path"] == said.picture), None)
        if own is None:
            own = {"path": said.picture, "group": said.picture}
            rows.append(own)
        own |= {"was": said.was or own.get("class", ""), "class": said.label}
        own["origin"] = "; ".join(filter(None, (said.origin, own.get("origin"))))
        text = io.StringIO()
        writer = csv.DictWriter(text, [*dict.fromkeys([*columns, *[key for row in rows for key in row]])])
        writer.writeheader()
        writer.writerows(rows)
        write_whole(data, text.getvalue())
    except (OSError, csv.Error, KeyError) as error:
        raise CalibrationError(
            f"{data}: cannot be changed ({error}); expected a CSV manifest with path"
        ) from error


def _rows(data: Path) -> list[dict[str, str]]:
    if not data.is_file():
        return []
    with data.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _safe(part: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in part)[:80]
