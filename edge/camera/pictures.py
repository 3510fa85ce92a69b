"""Where replayed parts come from: a folder of pictures or a manifest, and how a picture becomes a frame."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.camera.settings import ManifestColumns, ReplaySettings
from edge.errors import CameraError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
_TAIL = 1024
"""Some writers pad behind the end marker."""


@dataclass(frozen=True)
class Picture:
    """One part to show; ``label`` is its class where it is known."""

    path: Path
    label: str | None


def find_pictures(settings: ReplaySettings) -> list[Picture]:
    """What the settings select, in the order in which it is shown.

    Raises CameraError when there is nothing to show, or the manifest has no column of paths.
    """
    path = settings.path
    if path.is_dir():
        if settings.split is not None:
            raise CameraError(
                f"{path}: a folder has no split '{settings.split}'; give a manifest or leave it out"
            )
        pictures = _from_folder(path)
    elif path.is_file():
        pictures = _from_manifest(path, settings.columns, settings.split)
    else:
        raise CameraError(f"{path}: there is no such folder or manifest; expected pictures to replay")
    return pictures if settings.limit is None or settings.loop else pictures[: settings.limit]


def _from_folder(folder: Path) -> list[Picture]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise CameraError(
            f"{folder}: no picture in this folder; expected files ending in {', '.join(SUFFIXES)}"
        )
    # In a single folder its name says where the pictures are, not what they show.
    labelled = len({p.parent for p in paths}) > 1
    return [Picture(p, p.parent.name if labelled else None) for p in paths]


def _from_manifest(path: Path, columns: ManifestColumns, split: str | None) -> list[Picture]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            _check_columns(path, rows.fieldnames or (), columns, split)
            pictures = list(_rows(path.parent, rows, columns, split))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CameraError(f"{path}: cannot be read as a manifest: {error}") from error
    if not pictures:
        selected = f" with {columns.split} = {split}" if split is not None else ""
        raise CameraError(f"{path}: no row{selected}; expected at least one picture")
    return pictures


def _rows(
    folder: Path, rows: Iterable[dict[str, str]], columns: ManifestColumns, split: str | None
) -> Iterator[Picture]:
    for row in rows:
        if split is None or row[columns.split] == split:
            yield Picture(folder / (row[columns.path] or ""), row.get(columns.label) or None)


def _check_columns(path: Path, found: Iterable[str], columns: ManifestColumns, split: str | None) -> None:
    needed = [columns.path] + ([columns.split] if split is not None else [])
    for name in needed:
        if name not in found:
            raise CameraError(
                f"{path}: no column '{name}'; found {', '.join(found) or 'an empty file'}. "
                "Name the column in camera.columns"
            )


def decode(path: Path, *, grey: bool) -> NDArray[np.uint8]:
    """The picture as height × width (grey) or height × width × 3 (B, G, R), uint8.

    Raises CameraError when it cannot be read or is cut short.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CameraError(f"{path}: cannot be read: {error.strerror}") from error
    if not data:
        raise CameraError(f"{path}: the file is empty")
    if data.startswith(JPEG_START) and JPEG_END not in data[-_TAIL:]:
        # Older OpenCV fills what is missing with grey and calls it a picture.
        raise CameraError(f"{path}: the JPEG ends in mid-picture ({len(data)} bytes)")
    try:
        picture = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
        )
    except cv2.error as error:
        raise CameraError(f"{path}: cannot be decoded: {error.err}") from error
    if picture is None:
        raise CameraError(f"{path}: cannot be decoded as a picture ({len(data)} bytes)")
    return np.asarray(picture, np.uint8)
