"""A recording on disk: its layout, and reading it back.

``recording.json``  version, line configuration, engine hashes, counts, ``finished``
``parts.jsonl``     one JSON object per part: ``part`` (every field of the part record) and ``frame``
``frames/``         pixels, ``<part id>.png`` (rows of grey, B G R or B G R A) or ``.npy``
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import RecordError

VERSION = 1
INDEX_NAME, PARTS_NAME, FRAMES_NAME = "recording.json", "parts.jsonl", "frames"

STORED = "stored"
"""The pixels are on disk."""
EMPTY = "empty"
"""The camera delivered a frame without pixels: corrupt or oversize."""
LOST = "lost"
"""The line itself got no frame for the part."""
MISSED = "missed"
"""The recorder came too late, or the disk was too slow or full: the part cannot be replayed."""


@dataclass(frozen=True)
class RecordedFrame:
    """The frame of a part; sizes in pixels, ``pixel_format`` and ``status`` as numbers."""

    state: str
    file: str | None = None
    frame_id: int = 0
    width: int = 0
    height: int = 0
    pixel_format: int = 0
    status: int = 0


@dataclass(frozen=True)
class RecordedPart:
    """One part: the fields of its record by name, and its frame."""

    fields: Mapping[str, Any]
    frame: RecordedFrame

    @property
    def part_id(self) -> int:
        """The trigger id."""
        return int(self.fields["part_id"])

    @property
    def replayable(self) -> bool:
        """True when the camera can show what the line saw."""
        return self.frame.state != MISSED


@dataclass(frozen=True)
class RecordedLine:
    """A recording as ``edge replay`` needs it."""

    directory: Path
    line: dict[str, Any]
    """The line configuration at the time."""
    engines: dict[str, str]
    """Engine name → hash."""
    speed_m_per_s: float
    counts: dict[str, int]
    finished: bool
    """False: the run was cut off; the recording holds what had been written by then."""
    parts: list[RecordedPart]
    """In order of their triggers."""
    problems: list[str] = field(default_factory=list)
    """What was skipped, one sentence each."""
    earlier: Mapping[int, str] = field(default_factory=dict)
    """Number of a recipe → id in the recipe store of what stood by for it."""

    @classmethod
    def load(cls, directory: Path) -> "RecordedLine":
        """Raises RecordError when this is no recording, or one of another version."""
        index = _load_index(directory)
        problems: list[str] = []
        parts = _load_parts(directory, problems)
        if not index["finished"]:
            problems.append(f"{directory}: the recording was not finished; it holds {len(parts)} parts")
        return cls(
            directory,
            index["line"],
            index["engines"],
            index["speed_m_per_s"],
            index["counts"],
            index["finished"],
            one_per_part(parts),
            problems,
            {int(number): identity for number, identity in index.get("earlier", {}).items()},
        )

    def pixels(self, part: RecordedPart) -> NDArray[np.uint8]:
        """The stored frame, height × width or height × width × channels.

        Raises RecordError when the file is missing, damaged or of another size than recorded.
        """
        path = self.directory / (part.frame.file or "")
        if not path.is_file():
            raise RecordError(f"{path}: the frame of part {part.part_id} is missing from the recording")
        try:
            found = np.load(path) if path.suffix == ".npy" else _read_png(path)
        except (OSError, ValueError, cv2.error) as error:
            raise RecordError(f"{path}: the frame of part {part.part_id} cannot be read: {error}") from error
        if found.shape[:2] != (part.frame.height, part.frame.width) or found.dtype != np.uint8:
            raise RecordError(
                f"{path}: {found.shape} {found.dtype}; expected uint8 of "
                f"{part.frame.width}x{part.frame.height} as in the record"
            )
        return np.ascontiguousarray(found)


def judged_by(part: RecordedPart) -> tuple[int, bool]:
    """Number of the recipe, and whether it was what stood by for it."""
    return int(part.fields.get("recipe", 0)), bool(part.fields.get("recipe_earlier", 0))


def one_per_part(parts: Iterable[RecordedPart]) -> list[RecordedPart]:
    """In order of their triggers. A part has two records when its verdict came after it had been given up; the one
    that the engines judged is kept."""
    chosen: dict[int, RecordedPart] = {}
    for part in parts:
        if part.part_id not in chosen or part.fields["gate_out_ns"]:
            chosen[part.part_id] = part
    return sorted(chosen.values(), key=lambda part: part.part_id)


def _read_png(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("not a whole PNG file")
    return np.asarray(picture)


def _load_index(directory: Path) -> dict[str, Any]:
    path = directory / INDEX_NAME
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(
            f"{directory}: not a recording: {INDEX_NAME} cannot be read ({error.strerror})"
        ) from error
    except ValueError as error:
        raise RecordError(f"{path}: not the index of a recording: {error}") from error
    version = index.get("version") if isinstance(index, dict) else None
    if version != VERSION:
        raise RecordError(
            f"{path}: recording version {version}; this runtime reads version {VERSION}. Replay it with the "
            "runtime that made it"
        )
    missing = {"line", "engines", "speed_m_per_s", "counts", "finished"} - index.keys()
    if missing:
        raise RecordError(f"{path}: the index lacks {', '.join(sorted(missing))}")
    return dict(index)


def _load_parts(directory: Path, problems: list[str]) -> list[RecordedPart]:
    path = directory / PARTS_NAME
    parts = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        try:
            parts.append(_part(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            problems.append(f"{path}, line {number}: not a part record, skipped: {error!r}")
    return parts


def _part(data: dict[str, Any]) -> RecordedPart:
    fields = {name: math.nan if value is None else value for name, value in data["part"].items()}
    part = RecordedPart(fields, RecordedFrame(**data["frame"]))
    _ = part.part_id, fields["reason"], fields["triggered_ns"], fields["gate_out_ns"]
    return part
