"""Where pictures of a defect may come from: the archive, a running line, a camera without a line, a folder."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from calibration.collect import Found
from calibration.errors import CalibrationError
from edge._core import FrameStatus, PixelFormat, RecordReader
from edge.camera.grabbing import grabbed, opened
from edge.camera.settings import CameraSettings
from edge.records.archive.commands import Wanted, pictures
from edge.records.recording import encode
from edge.shadow.follow import Followed, said_by_line

_FORMATS = {PixelFormat.BAYER_RG8: "bayer_rg8"}
_LOOK_S = 0.005
_BATCH = 256


def from_folder(folder: Path, suffixes: Iterable[str]) -> Iterator[Found]:
    """Every picture below it. Raises CalibrationError: no folder."""
    if not folder.is_dir():
        raise CalibrationError(f"{folder}: no such folder; expected one with pictures")
    wanted = set(suffixes)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in wanted:
            yield Found(path.read_bytes(), path.suffix.lower(), str(path), f"folder {folder}")


def from_archive(folder: Path, wanted: Wanted, pixel_format: str = "") -> Iterator[Found]:
    """Newest first. Raises RecordError: no archive. ``pixel_format``: of the line's camera, ``bayer_rg8`` for a mosaic;
    a picture's name does not say it."""
    for path, picture in reversed(list(pictures(folder, wanted))):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # it left the archive meanwhile
            continue
        was = f"{picture.verdict} {picture.label} ({picture.reason})"
        part = f"{picture.part_id}@{picture.wall_ns}"
        yield Found(content, ".png", part, f"archive {folder}, part {part}", was, pixel_format)


def from_line(line: Followed, name: str, limit_s: float) -> Iterator[Found]:
    """Of a running line: every part from now on whose frame is still there when its record is. It writes nothing."""
    return _follow(line, line.ring.reader_at(line.ring.head), name, time.monotonic() + limit_s)


def _follow(line: Followed, reader: RecordReader, name: str, end_s: float) -> Iterator[Found]:
    while not line.over and time.monotonic() < end_s:
        records = reader.read(_BATCH)
        yield from filter(None, (_of_part(line, record, name) for record in records))
        if not len(records):
            time.sleep(_LOOK_S)


def _of_part(line: Followed, record: np.void, name: str) -> Found | None:
    """None: its frame has left the ring."""
    view = line.region.copy_frame(int(record["part_id"]))
    if view is None or view.status is not FrameStatus.OK or view.frame_id != record["frame_id"]:
        return None
    said = said_by_line(record, line.classes)
    part = f"{int(record['part_id'])}@{line.ring.identity}"
    was = f"{said.verdict.name.lower()} {said.label}"
    raw = _FORMATS.get(view.pixel_format, "")
    return Found(encode(view), ".png", part, f"line {name}, part {part}", was, raw)


def from_camera(settings: CameraSettings, name: str, count: int, patience_s: float) -> Iterator[Found]:
    """Of a camera that no line has open. Raises CameraError."""
    with opened(settings) as camera:
        for one in grabbed(camera, settings, count, patience_s):
            if one.pixels is None:
                continue
            content = cv2.imencode(".png", one.pixels)[1].tobytes()
            raw = _FORMATS.get(one.frame.pixel_format, "")
            yield Found(content, ".png", f"{name}@{one.received_ns}", f"camera of {name}", "", raw)
