"""Labelled pictures on disk: a folder, or a CSV manifest, read as the camera would have delivered them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.collect import read_index
from calibration.errors import CalibrationError
from edge._core import PixelFormat

Pixels = NDArray[np.uint8]
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_BAYER = {
    "bayer_rg8": PixelFormat.BAYER_RG8,
}
_TO_BGR = {  # GenICam's RG is OpenCV's BG
    PixelFormat.BAYER_RG8: cv2.COLOR_BayerBG2BGR,
    PixelFormat.MONO8: cv2.COLOR_GRAY2BGR,
}


@dataclass(frozen=True)
class Picture:
    """One picture of one part."""

    path: Path
    label: str
    split: str = ""
    group: str = ""
    """The physical part; pictures of one group never end up on both sides of a split."""
    origin: str = ""
    """Who or what said so: ``folder``, ``manifest``, ``operator NAME``."""
    pixel_format: str = ""
    """``bayer_rg8`` and so on for a raw mosaic; empty: as the file says, grey or colour."""
    boxes: str = ""


def read_frame(picture: Picture) -> tuple[Pixels, PixelFormat]:
    """Raises CalibrationError: not a picture that can be read."""
    data = np.fromfile(picture.path, np.uint8) if picture.path.is_file() else None
    pixels = None if data is None or not len(data) else cv2.imdecode(data, cv2.IMREAD_ANYCOLOR)
    if pixels is None or pixels.dtype != np.uint8:
        raise CalibrationError(
            f"{picture.path}: not a picture that can be read; expected PNG, JPEG or BMP, 8 bit; take it out"
        )
    if pixels.ndim == 3:
        return np.asarray(pixels, np.uint8), PixelFormat.BGR8
    return np.asarray(pixels, np.uint8), _BAYER.get(picture.pixel_format, PixelFormat.MONO8)


def as_bgr(pixels: Pixels, pixel_format: PixelFormat) -> Pixels:
    """For the eye."""
    code = _TO_BGR.get(pixel_format)
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def read_folder(folder: Path, label: str) -> list[Picture]:
    """Every picture below ``folder``, in order; of collected ones those that are still said to show ``label``.

    Raises CalibrationError: no folder, or no picture in it.
    """
    if not folder.is_dir():
        raise CalibrationError(f"{folder}: no such folder; expected the pictures of '{label}' (--images DIR)")
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise CalibrationError(
            f"{folder}: no picture in it; expected files that end in {', '.join(SUFFIXES)}: give the right folder"
        )
    known = {folder / row.path: row for row in read_index(folder)}
    own = [
        Picture(path, label, group=row.group, origin=row.origin, pixel_format=row.pixel_format)
        if (row := known.get(path))
        else Picture(path, label, origin="folder")
        for path in found
        if path not in known or known[path].label == label
    ]
    if not own:
        raise CalibrationError(f"{folder}: every picture in it was relabelled; none shows '{label}'")
    return own


def read_manifest(manifest: Path) -> list[Picture]:
    """A CSV with the columns path and class; split, group, format and boxes where there are such.

    Raises CalibrationError: cannot be read, columns missing, nothing in it.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CalibrationError(
            f"{manifest}: cannot be read ({error}); expected a CSV manifest with path and class"
        ) from error
    if not {"path", "class"} <= columns:
        raise CalibrationError(f"{manifest}: columns {sorted(columns)}; expected at least path and class")
    if not rows:
        raise CalibrationError(f"{manifest}: no row; expected one for each picture")
    bad = next((n for n, row in enumerate(rows, 2) if not row["path"] or not row["class"]), None)
    if bad is not None:
        raise CalibrationError(f"{manifest}:{bad}: path or class is empty; fill it in or delete the line")
    return [
        Picture(
            manifest.parent / row["path"],
            row["class"],
            row.get("split") or "",
            row.get("group") or row["path"],
            row.get("origin") or "manifest",
            row.get("format") or "",
            row.get("boxes") or "",
        )
        for row in rows
    ]


def split_by_group(pictures: Sequence[Picture], exam_share: float, seed: int) -> list[Picture]:
    """Gives ``train`` or ``exam`` to each, whole groups at a time, every class for itself; train gets the larger part.

    Pictures that come with a split keep it (anything but train is exam).
    """
    rng = np.random.default_rng([seed, 21])
    named = [replace(p, split="train" if p.split in ("", "train") else "exam") for p in pictures]
    out = {id(p): p for p in named}
    for label in sorted({p.label for p in named}):
        own = [(p, q) for p, q in zip(named, pictures, strict=True) if p.label == label and not q.split]
        groups = sorted({p.group or str(p.path) for p, _ in own})
        wanted = int(len(own) * exam_share)
        taken: set[str] = set()
        count = 0
        for group in rng.permutation(groups):
            size = sum((p.group or str(p.path)) == group for p, _ in own)
            if count + size <= wanted:
                taken.add(str(group))
                count += size
        for p, _ in own:
            if (p.group or str(p.path)) in taken:
                out[id(p)] = replace(p, split="exam")
    return [out[id(p)] for p in named]
