"""Where pictures come from: rendered twin parts, or a CSV manifest; through the preprocess of the line."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge._core import PixelFormat, Preprocess
from engines.calibration_set import Choice, PictureSet, expose
from engines.errors import CalibrationError
from engines.manifest import InputSpec
from tools.dataset import CALIBRATION, EXTREME_EV, TEST, VALIDATION
from tools.training.sets import Row, manifest_rows
from tools.twin.parts import CLASSES, DEFAULT_LOOK, PartSpec, plan_parts
from tools.twin.render import CameraModel, render, warm_up

Say = Callable[[str, float], None]
_CHUNK = 25
_EXTREME_SHARE = 0.5
"""Of the parts that plans are chosen and examined by, these lie anywhere within ±2 EV."""


class Candidates(Protocol):
    """Pictures that may be taken, known by class and exposure before any of them is read or rendered."""

    real_sweep: bool
    """The pictures exist at several exposures; else a second, shifted copy is made of each."""
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    exposure_ev: NDArray[np.float32]

    def load(self, choices: Sequence[Choice], spec: InputSpec, say: Say) -> PictureSet:
        """Raises CalibrationError: a picture that cannot be read."""


@dataclass(frozen=True)
class Sets:
    """``choice``: plans and methods are chosen by these; ``exam``: nothing is chosen by these."""

    name: str
    calibration: Candidates
    choice: Candidates
    exam: Candidates


def twin_sets(pictures: int, exam: int, seed: int, look: str = DEFAULT_LOOK) -> Sets:
    """Parts of three namespaces that share none; enough candidates for an even calibration set of ``pictures``."""
    return Sets(
        f"twin, seed {seed}, look {look}",
        TwinParts(plan_parts(12 * pictures, seed, 0.8, ghost_share=0.15, namespace=CALIBRATION, look=look)),
        TwinParts(_exam_parts(exam, seed, VALIDATION, look)),
        TwinParts(_exam_parts(exam, seed, TEST, look)),
    )


def manifest_sets(path: Path, prefix: str, classes: tuple[str, ...] | None, pictures: int) -> Sets:
    """Calibrates on ``train``, chooses on ``val``, examines on ``test``; without ``test`` chooses on what is left of
    ``train``.

    Raises TrainError (see ``manifest_rows``), CalibrationError: a class that the model does not know, an empty split.
    """
    rows = manifest_rows(path, prefix)
    names = classes or tuple(sorted({row.label for row in rows}))
    unknown = sorted({row.label for row in rows} - set(names))
    if unknown:
        raise CalibrationError(
            f"{path}: classes {unknown} are not the model's {list(names)}; take their rows out"
        )
    by_split = {split: [row for row in rows if row.split == split] for split in ("train", "val", "test")}
    if not by_split["test"]:
        order = np.random.default_rng(5).permutation(len(by_split["train"]))
        spare = min(len(order) // 2, max(100, len(order) - pictures))
        train = [by_split["train"][i] for i in order]
        by_split = {"train": train[spare:], "val": train[:spare], "test": by_split["val"]}
    for split, chosen in by_split.items():
        if not chosen:
            raise CalibrationError(
                f"{path}: nothing for '{split}'; expected the splits train and val, better test too"
            )
    found = (ManifestPictures(by_split[split], names) for split in ("train", "val", "test"))
    return Sets(f"{path.name} {prefix}".strip(), *found)


def all_of(candidates: Candidates, count: int, seed: int) -> list[Choice]:
    """At most ``count``; what is no sweep is seen twice, the second time anywhere within ±2 EV."""
    order = np.random.default_rng([seed, 7]).permutation(len(candidates.labels)).tolist()
    if candidates.real_sweep:
        return [Choice(index) for index in order[:count]]
    shifts = np.random.default_rng([seed, 8]).uniform(-EXTREME_EV, EXTREME_EV, len(order))
    pairs = [(Choice(i), Choice(i, float(ev))) for i, ev in zip(order, shifts, strict=True)]
    return [choice for pair in pairs for choice in pair][:count]


def _exam_parts(count: int, seed: int, namespace: str, look: str) -> list[PartSpec]:
    specs = plan_parts(count, seed, 0.65, ghost_share=0.06, namespace=namespace, look=look)
    draws = np.random.default_rng([seed, 9]).random((count, 2))
    return [
        replace(spec, exposure_ev=float(EXTREME_EV * (2 * ev - 1))) if chance < _EXTREME_SHARE else spec
        for spec, (chance, ev) in zip(specs, draws, strict=True)
    ]


class TwinParts:
    """Parts are rendered when they are loaded, on two processes; a shift is made of the frame, as on a real line."""

    real_sweep = True
    classes: tuple[str, ...] = CLASSES

    def __init__(self, specs: Sequence[PartSpec]) -> None:
        self._specs = specs
        self.labels = np.array([spec.class_id for spec in specs], np.int64)
        self.exposure_ev = np.array([spec.exposure_ev for spec in specs], np.float32)

    def load(self, choices: Sequence[Choice], spec: InputSpec, say: Say) -> PictureSet:
        """Renders."""
        jobs = [(self._specs[choice.index], choice.shift_ev) for choice in choices]
        chunks = [(jobs[start : start + _CHUNK], spec) for start in range(0, len(jobs), _CHUNK)]
        made = []
        # Not fork: OpenCV has threads of its own.
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            for images in pool.map(_render_chunk, chunks):
                made.append(images)
                say("render parts", len(made) / len(chunks))
        return _picture_set(np.concatenate(made), self, choices)


def _render_chunk(job: tuple[Sequence[tuple[PartSpec, float]], InputSpec]) -> NDArray[np.uint8]:
    parts, spec = job
    camera, shrink = CameraModel(), _Shrink(spec)
    _warm(camera)
    frames = ((render(part, camera).pixels, ev, part.render_seed) for part, ev in parts)
    return np.stack(
        [
            shrink(expose(pixels, ev, np.random.default_rng(seed)), PixelFormat.BAYER_RG8)
            for pixels, ev, seed in frames
        ]
    )


@cache
def _warm(camera: CameraModel) -> None:
    cv2.setNumThreads(1)
    warm_up(camera)


class ManifestPictures:
    """Pictures are read when they are loaded. Steps of a sweep are measured: mean grey beside that of their class."""

    real_sweep = False

    def __init__(self, rows: Sequence[Row], classes: tuple[str, ...]) -> None:
        self._rows = rows
        self.classes = classes
        self.labels = np.array([classes.index(row.label) for row in rows])
        self.exposure_ev = _sweep_ev(rows, self.labels)

    def load(self, choices: Sequence[Choice], spec: InputSpec, say: Say) -> PictureSet:
        """Reads."""
        shrink, images = _Shrink(spec), []
        for done, choice in enumerate(choices, 1):
            pixels = expose(
                _read(self._rows[choice.index]), choice.shift_ev, np.random.default_rng(choice.index)
            )
            images.append(shrink(pixels, PixelFormat.MONO8 if pixels.ndim == 2 else PixelFormat.BGR8))
            say("read pictures", done / len(choices))
        return _picture_set(np.stack(images), self, choices)


def _sweep_ev(rows: Sequence[Row], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    if len({row.exposure for row in rows} - {""}) < 2:
        return np.zeros(len(rows), np.float32)
    grey = np.array([max(1.0, float(_read(row).mean())) if row.exposure else 0.0 for row in rows])
    ev = np.zeros(len(rows), np.float32)
    for label in np.unique(labels):
        swept = (labels == label) & (grey > 0)
        ev[swept] = np.log2(grey[swept] / np.median(grey[swept])) if swept.any() else 0
    return ev


def _read(row: Row) -> NDArray[np.uint8]:
    data = np.fromfile(row.path, np.uint8) if row.path.is_file() else None
    picture = None if data is None or not len(data) else cv2.imdecode(data, cv2.IMREAD_ANYCOLOR)
    if picture is None or picture.dtype != np.uint8:
        raise CalibrationError(
            f"{row.path} (line {row.line} of the manifest): not a picture that can be read; expected PNG, JPEG or BMP, "
            "8 bit; restore it or take its row out"
        )
    return np.ascontiguousarray(picture)


class _Shrink:
    """The preprocess of the line without its normalisation, rounded to whole grey levels."""

    def __init__(self, spec: InputSpec) -> None:
        self._preprocess = Preprocess(
            out_width=spec.width, out_height=spec.height, channels=spec.channels, resize=spec.resize
        )
        self._value = np.empty(self._preprocess.shape, np.float32)

    def __call__(self, pixels: NDArray[np.uint8], pixel_format: PixelFormat) -> NDArray[np.uint8]:
        height, width = pixels.shape[:2]
        self._preprocess.into(pixels.reshape(-1), width, height, pixels.strides[0], pixel_format, self._value)
        return np.asarray(np.rint(self._value[0] * 255), np.uint8)


def _picture_set(images: NDArray[np.uint8], source: Candidates, choices: Sequence[Choice]) -> PictureSet:
    index = np.array([choice.index for choice in choices])
    shifts = np.array([choice.shift_ev for choice in choices], np.float32)
    return PictureSet(images, source.labels[index], source.exposure_ev[index] + shifts, source.classes)
