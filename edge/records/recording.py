"""Records a run: frames, triggers and verdicts, to disk, without ever holding up the line."""

import contextlib
import json
import logging
import math
import os
import queue
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge._core import FrameStatus, FrameView, Reason, Region
from edge.camera.base import CHANNELS
from edge.errors import RecordError
from edge.records.recorded import (
    EMPTY,
    FRAMES_NAME,
    INDEX_NAME,
    LOST,
    MISSED,
    PARTS_NAME,
    STORED,
    VERSION,
    RecordedFrame,
)

log = logging.getLogger(__name__)

QUEUE_PARTS = 64
QUEUE_BYTES = 64 * 1024 * 1024
_PIXELS_LESS = (FrameStatus.CORRUPT, FrameStatus.OVERSIZE)
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True)
class RunFacts:
    """What the index of a recording says about the run."""

    line: dict[str, Any]
    """The line configuration, as JSON data."""
    engines: dict[str, str]
    """Engine name → hash."""
    speed_m_per_s: float
    earlier: Mapping[int, str] = field(default_factory=dict)
    """Number of a recipe → id in the recipe store of what stands by for it."""


@dataclass
class Counts:
    """Parts of a recording by what became of them."""

    parts: int = 0
    frames: int = 0
    missed_frames: int = 0
    """Frames that had left the ring before the recorder came, or did not fit on the disk."""
    dropped_parts: int = 0
    """Parts that are not in the recording at all: the disk was too slow or full."""


class Recorder:
    """Copies finished parts and their frames out of the ring; one thread of its own writes them.

    ``add`` never waits. A disk that is slow or full costs parts of the recording, which are counted.
    """

    def __init__(
        self, region: Region, directory: Path, facts: RunFacts, *, file_format: Literal["png", "npy"] = "png"
    ) -> None:
        """Raises RecordError when the directory holds something already or cannot be written."""
        self.counts = Counts()
        self._region = region
        self._directory = directory
        self._facts = facts
        self._format = file_format
        self._told = False
        try:
            _make_directory(directory)
            self._write_index(finished=False)
            self._parts = os.open(
                directory / PARTS_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644
            )
        except OSError as error:
            raise RecordError(f"{directory}: a recording cannot be written here: {error.strerror}") from error
        self._good_bytes = 0
        self._queue: queue.Queue[tuple[dict[str, Any], FrameView | None] | None] = queue.Queue(
            queue_length(region)
        )
        self._thread = threading.Thread(target=self._write_all, name="recorder", daemon=True)
        self._thread.start()

    def add(self, records: NDArray[np.void]) -> None:
        """Takes finished part records (PART_RECORD_DTYPE) while their frames are in the ring."""
        for record in records:
            frame = None
            if record["reason"] != Reason.FRAME_LOST:
                frame = self._region.copy_frame(int(record["part_id"]))
            try:
                self._queue.put_nowait((part_fields(record), frame))
            except queue.Full:
                self.counts.dropped_parts += 1
                self._tell("the disk is slower than the line; parts are missing from the recording")

    def close(self, timeout_s: float = 10.0) -> None:
        """Writes what waits and finishes the index, within the time-out; never raises for a full disk."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._tell(f"the disk did not take the rest within {timeout_s:g} s; the recording is unfinished")
            return
        os.close(self._parts)
        try:
            self._write_index(finished=True)
        except OSError as error:
            self._tell(f"the index cannot be finished: {error.strerror}")

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            fields, view = item
            frame = self._store_frame(fields, view)
            line = json.dumps({"part": fields, "frame": asdict(frame)}, allow_nan=False) + "\n"
            try:
                self._append(line.encode())
            except OSError as error:
                self.counts.dropped_parts += 1
                self._tell(f"parts cannot be written: {error.strerror}")
            else:
                self.counts.parts += 1
                self.counts.frames += frame.state == STORED
                self.counts.missed_frames += frame.state == MISSED

    def _store_frame(self, fields: dict[str, Any], view: FrameView | None) -> RecordedFrame:
        if view is None:
            return RecordedFrame(LOST if fields["reason"] in _WITHOUT_FRAME else MISSED)
        known: dict[str, Any] = {
            "frame_id": view.frame_id,
            "width": view.width,
            "height": view.height,
            "pixel_format": int(view.pixel_format),
            "status": int(view.status),
        }
        if view.status in _PIXELS_LESS:
            return RecordedFrame(EMPTY, **known)
        name = f"{FRAMES_NAME}/{fields['part_id']:08d}.{self._format}"
        path = self._directory / name
        try:
            path.write_bytes(encode(view)) if self._format == "png" else np.save(path, picture_of(view))
        except (OSError, ValueError) as error:
            self._tell(f"frames cannot be written: {getattr(error, 'strerror', None) or error}")
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return RecordedFrame(MISSED, **known)
        return RecordedFrame(STORED, name, **known)

    def _append(self, line: bytes) -> None:
        try:
            done = os.write(self._parts, line)
            if done < len(line):
                raise OSError(28, "No space left on device")
            self._good_bytes += done
        except OSError:
            # Half a line would spoil the next one, which may fit again.
            os.ftruncate(self._parts, self._good_bytes)
            os.lseek(self._parts, self._good_bytes, os.SEEK_SET)
            raise

    def _write_index(self, *, finished: bool) -> None:
        path = self._directory / INDEX_NAME
        part = path.with_name(INDEX_NAME + ".tmp")
        index = {
            "version": VERSION,
            "finished": finished,
            **asdict(self._facts),
            "counts": asdict(self.counts),
        }
        part.write_text(json.dumps(index, indent=1), encoding="utf-8")
        part.replace(path)

    def _tell(self, text: str) -> None:
        if not self._told:
            self._told = True
            log.warning("recording %s: %s", self._directory, text)


_WITHOUT_FRAME = (Reason.FRAME_LOST, Reason.NO_VERDICT)


def queue_length(region: Region) -> int:
    """Frames that may wait for a disk."""
    return max(4, min(QUEUE_PARTS, QUEUE_BYTES // region.slot_bytes))


def part_fields(record: np.void) -> dict[str, Any]:
    """A part record as JSON data: integers, and floats with NaN as None."""
    names = record.dtype.names or ()
    values = {name: record[name].item() for name in names if isinstance(record[name], np.number)}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def picture_of(view: FrameView) -> NDArray[np.uint8]:
    """The pixels of a frame without padding, height × width or height × width × channels."""
    channels = CHANNELS[view.pixel_format]
    rows = view.pixels.reshape(view.height, view.stride)[:, : view.width * channels]
    return rows if channels == 1 else rows.reshape(view.height, view.width, channels)


def encode(view: FrameView) -> bytes:
    """The frame as a PNG file. Raises OSError where OpenCV refuses it."""
    try:
        ok, data = cv2.imencode(".png", picture_of(view), _PNG)
    except cv2.error as error:
        raise OSError(f"not encodable as PNG: {error.err}") from error
    if not ok:
        raise OSError("not encodable as PNG")
    return bytes(data)


def _make_directory(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise RecordError(f"{directory}: is not empty; a recording needs a folder of its own")
    (directory / FRAMES_NAME).mkdir()
