"""Which pictures calibrate a model: balanced over classes, a share of them exposed wrongly, and nothing missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import CalibrationError

EXPOSURE_SHARE = 0.2
USUAL_EV = 0.5
"""The lamp's drift stays within this; pictures beyond count as under- or overexposed."""
SHIFT_EV = (0.75, 2.0)
"""Synthetic exposure samples lie between these, on both sides."""
BANDS = ("under", "usual", "over")
FULL_WELL = 10_000.0
"""Electrons at full scale of a common 3.45 µm pixel."""
READ_NOISE = 10.0
"""Electrons."""
_GREY_BINS = 16


@dataclass(frozen=True)
class Choice:
    """One picture of the set: a candidate, and by how much its exposure is shifted (EV; 0: as it is)."""

    index: int
    shift_ev: float = 0.0


@dataclass(frozen=True)
class PictureSet:
    """``images`` uint8 (n, channels, height, width), RGB, resized by the preprocess of the line; ``labels`` (n,).

    ``exposure_ev`` (n,): from the usual exposure, 0 where nobody knows.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    exposure_ev: NDArray[np.float32]
    classes: tuple[str, ...]

    def inputs(self, mean: Sequence[float], std: Sequence[float]) -> "Inputs":
        """What the model takes."""
        return Inputs(self.images, mean, std)

    def part(self, rows: NDArray[np.bool_]) -> "PictureSet":
        """Only these rows."""
        return PictureSet(self.images[rows], self.labels[rows], self.exposure_ev[rows], self.classes)


class Inputs(Sequence[NDArray[np.float32]]):
    """float32 (1, channels, height, width), ``(grey / 255 - mean) / std``; made when asked for, to save memory."""

    def __init__(self, images: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> None:
        self._images = images
        self._mean, self._std = (
            np.asarray(values, np.float32)[: images.shape[1]].reshape(1, -1, 1, 1) for values in (mean, std)
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        grey = self._images[index][None].astype(np.float32) / np.float32(255)
        return (grey - self._mean) / self._std


def band_of(ev: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index into ``BANDS``."""
    return np.where(ev < -USUAL_EV, 0, np.where(ev > USUAL_EV, 2, 1))


def choose_pictures(
    labels: NDArray[np.int64],
    exposure_ev: NDArray[np.float32],
    classes: int,
    *,
    pictures: int,
    seed: int,
    exposure_share: float = EXPOSURE_SHARE,
) -> list[Choice]:
    """As many of every class as there are, up to an equal share; half of ``exposure_share`` under-, half overexposed.

    Candidates that are really exposed wrongly are taken first; what is missing is a usual one with a shift. No
    candidate is taken twice as it is. The same seed chooses the same.
    """
    rng = np.random.default_rng([seed, 11])
    bands = band_of(exposure_ev)
    chosen: list[Choice] = []
    for label in range(classes):
        quota = pictures // classes + (label < pictures % classes)
        under, usual, over = (
            rng.permutation(np.flatnonzero((labels == label) & (bands == b))) for b in range(3)
        )
        quota = min(quota, max(1, len(under) + len(usual) + len(over)))
        wrong = min(quota // 3, max(1, round(quota * exposure_share / 2))) if exposure_share else 0
        chosen += [Choice(int(index)) for index in usual[: max(0, quota - 2 * wrong)]]
        spare = usual[::-1]
        for sign, real in ((-1, under), (1, over)):
            chosen += [Choice(int(index)) for index in real[:wrong]]
            shifts = sign * rng.uniform(*SHIFT_EV, max(0, wrong - len(real)) if len(spare) else 0)
            chosen += [Choice(int(spare[i % len(spare)]), float(ev)) for i, ev in enumerate(shifts)]
            spare = np.roll(spare, -len(shifts))
    return chosen


def expose(pixels: NDArray[np.uint8], ev: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A frame as the sensor would have given it after 2^ev times the light: noise and clipping before any resize.

    Full scale holds 10,000 electrons, and the frame brings its own shot and read noise. With less light the signal's
    share of noise grows: what 2^ev times the old noise lacks of shot noise √e and read noise is added. With more light
    the old noise is already too much. The grey levels must be linear in light, as machine-vision sensors give them.
    """
    if ev == 0:
        return pixels
    gain = 2.0**ev
    electrons = pixels.astype(np.float32) * np.float32(gain * FULL_WELL / 255)
    if gain < 1:
        lacking = electrons * np.float32(1 - gain) + np.float32((1 - gain**2) * READ_NOISE**2)
        electrons += np.sqrt(lacking) * rng.standard_normal(pixels.shape, np.float32)
    grey = np.rint(electrons * np.float32(255 / FULL_WELL))
    return np.asarray(np.clip(grey, 0, 255), np.uint8)


@dataclass(frozen=True)
class Coverage:
    """What a calibration set shows the model."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, int, int], ...]
    """Per class: under-, usually, overexposed."""
    grey_histogram: tuple[int, ...]
    """Pictures by mean grey level, in 16 equal bins from 0 to 255."""
    clipped: tuple[float, float]
    """Share of samples at 0 and at 255."""

    @staticmethod
    def of(pictures: PictureSet) -> "Coverage":
        """Counts."""
        table = np.zeros((len(pictures.classes), len(BANDS)), np.int64)
        np.add.at(table, (pictures.labels, band_of(pictures.exposure_ev)), 1)
        means = pictures.images.mean(axis=(1, 2, 3))
        greys = np.histogram(means, bins=_GREY_BINS, range=(0, 256))[0]
        return Coverage(
            pictures.classes,
            tuple((int(row[0]), int(row[1]), int(row[2])) for row in table),
            tuple(int(count) for count in greys),
            (float((pictures.images == 0).mean()), float((pictures.images == 255).mean())),
        )

    def missing(self, *, bands: bool = True) -> list[str]:
        """Sentences about classes and, if asked, exposure bands without a picture."""
        table = np.array(self.counts)
        said = [
            f"class '{name}' has no picture"
            for name, row in zip(self.classes, table, strict=True)
            if not row.any()
        ]
        if bands:
            empty = [name for name, count in zip(BANDS, table.sum(axis=0), strict=True) if not count]
            said += [f"no picture is exposed '{name}'" for name in empty]
        return said

    def require_complete(self, *, bands: bool = True) -> None:
        """Raises CalibrationError: a class or an exposure band is missing."""
        said = self.missing(bands=bands)
        if said:
            raise CalibrationError(
                f"calibration set: {'; '.join(said)}; found {self.table()}; scales would be wrong where the line needs "
                "them: add pictures, or ask for more (--pictures)"
            )

    def table(self) -> str:
        """One line."""
        rows = zip(self.classes, self.counts, strict=True)
        return ", ".join(f"{name} {'/'.join(map(str, row))}" for name, row in rows) + f" ({'/'.join(BANDS)})"
