"""The feature bank: what a backbone says about pictures, kept so that old classes are replayed and not read again."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.pictures import Picture, Pixels, as_bgr, read_frame
from calibration.taps import Backbone, Extractor, backbone_sha256
from edge import _core
from engines.whole_file import write_whole

Progress = Callable[[str, float], None]
Read = Callable[[Picture], tuple[Pixels, _core.PixelFormat]]
"""From a picture to its frame."""
_HASH_SIDE = 16


@dataclass(frozen=True)
class Bank:
    """N pictures; arrays have N rows."""

    backbone: str
    """SHA-256 of the model that looked."""
    classes: tuple[str, ...]
    taps: NDArray[np.float32]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    exam: NDArray[np.bool_]
    """Never taught with."""
    groups: NDArray[np.str_]
    paths: NDArray[np.str_]
    formats: NDArray[np.str_]
    brightness: NDArray[np.float32]
    dark: NDArray[np.float32]
    bright: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    hashes: NDArray[np.uint8]
    """(n, 32): difference hash of 16 × 16 bits."""
    sizes: NDArray[np.int64]
    """(n, 2): height and width of the frame."""

    def __len__(self) -> int:
        return len(self.labels)

    def pick(self, which: NDArray[Any]) -> "Bank":
        """The rows of a mask or of indices."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        return Bank(**{k: v if k in ("backbone", "classes") else v[which] for k, v in kept.items()})

    @property
    def data_sha256(self) -> str:
        """Of labels and features, in order."""
        digest = hashlib.sha256(self.labels.tobytes())
        digest.update(self.taps.tobytes())
        return digest.hexdigest()

    def pictures(self, which: NDArray[np.int64]) -> list[Picture]:
        """Where these rows came from."""
        return [
            Picture(Path(str(self.paths[i])), self.classes[self.labels[i]], pixel_format=str(self.formats[i]))
            for i in which
        ]

    def save(self, path: Path) -> None:
        """Whole or not at all. Raises OSError."""
        content = io.BytesIO()
        held: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        np.savez(content, **held)
        write_whole(path, content.getvalue())

    @classmethod
    def load(cls, path: Path, backbone: str | None = None) -> "Bank":
        """Raises CalibrationError: not a bank, or one of another backbone."""
        try:
            with np.load(path, allow_pickle=False) as data:
                held: dict[str, Any] = {f.name: data[f.name] for f in fields(cls)}
        except (OSError, ValueError, KeyError) as error:
            raise CalibrationError(
                f"{path}: not a feature bank ({error}); make it with 'edge calibrate bank'"
            ) from error
        held["backbone"] = str(held["backbone"])
        held["classes"] = tuple(map(str, held["classes"]))
        bank = cls(**held)
        if backbone is not None and bank.backbone != backbone:
            raise CalibrationError(
                f"{path}: features of the model {bank.backbone[:12]}…, expected {backbone[:12]}…; "
                "a bank belongs to one backbone: make it again with 'edge calibrate bank'"
            )
        return bank


def make_bank(
    backbone: Backbone,
    pictures: Sequence[Picture],
    classes: Sequence[str],
    say: Progress = lambda phase, share: None,
    *,
    alter: Callable[[Pixels, _core.PixelFormat, int], Pixels] | None = None,
    read: Read = read_frame,
) -> Bank:
    """Looks at every picture; ``split`` other than train is exam.

    ``alter`` (pixels, format, index) may change a frame first, and gives BGR; ``read`` gets the frame of a picture that
    is no file. Raises CalibrationError: no pictures, one that cannot be read, a label that is none of ``classes``.
    """
    strange = sorted({p.label for p in pictures} - set(classes))
    if strange or not pictures:
        raise CalibrationError(
            f"classes {strange or 'none'}, expected some of {list(classes)}; name them as the engine does"
        )
    eye = Extractor(backbone)
    rows = []
    for index, picture in enumerate(pictures):
        pixels, pixel_format = read(picture)
        if alter is not None:
            pixels, pixel_format = alter(pixels, pixel_format, index), _core.PixelFormat.BGR8
        rows.append(look_at(eye, pixels, pixel_format))
        say("features", (index + 1) / len(pictures))
    return bank_of(backbone, pictures, rows, classes)


Look = tuple[Any, ...]
"""What is known of one frame: a row of a bank without its label."""


def look_at(eye: Extractor, pixels: Pixels, pixel_format: _core.PixelFormat) -> Look:
    """One frame; ``pixels`` height × width (× 3)."""
    taps, logits, stats = eye.look(pixels, pixel_format)
    shares = stats.mean, stats.dark_share, stats.bright_share, eye.sharpness
    return taps, logits, *shares, difference_hash(pixels, pixel_format), pixels.shape[:2]


def bank_of(
    backbone: Backbone, pictures: Sequence[Picture], looks: Sequence[Look], classes: Sequence[str]
) -> Bank:
    """A look for each picture, at least one."""
    columns = list(zip(*looks, strict=True))
    taps, logits, brightness, dark, bright, sharpness = (np.asarray(c, np.float32) for c in columns[:6])
    return Bank(
        backbone=backbone_sha256(backbone.manifest.model_path),
        classes=tuple(classes),
        taps=taps,
        logits=logits,
        labels=np.array([list(classes).index(p.label) for p in pictures], np.int64),
        exam=np.array([p.split not in ("", "train") for p in pictures]),
        groups=np.array([p.group or str(p.path) for p in pictures]),
        paths=np.array([str(p.path) for p in pictures]),
        formats=np.array([p.pixel_format for p in pictures]),
        brightness=brightness,
        dark=dark,
        bright=bright,
        sharpness=sharpness,
        hashes=np.asarray(columns[6], np.uint8),
        sizes=np.asarray(columns[7], np.int64),
    )


def joined(banks: Sequence[Bank]) -> Bank:
    """One bank of several of the same backbone and classes."""
    whole: dict[str, Any] = {"backbone": banks[0].backbone, "classes": banks[0].classes}
    rows = [f.name for f in fields(Bank) if f.name not in whole]
    return Bank(**whole | {name: np.concatenate([getattr(b, name) for b in banks]) for name in rows})


def difference_hash(pixels: Pixels, pixel_format: _core.PixelFormat) -> NDArray[np.uint8]:
    """256 bits: is each of 16 × 16 places brighter than its right neighbour?"""
    grey = as_bgr(pixels, pixel_format).mean(axis=2).astype(np.float32)
    small = cv2.resize(grey, (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1])


def hash_distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Bits that differ, (len(a), len(b))."""
    bits = np.unpackbits(a, axis=1).astype(np.float32), np.unpackbits(b, axis=1).astype(np.float32)
    both = bits[0] @ bits[1].T
    apart = bits[0].sum(1)[:, None] + bits[1].sum(1)[None] - 2 * both
    return np.asarray(np.rint(apart), np.int64)
