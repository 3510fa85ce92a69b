"""Banks of surface texture and sensor noise, made once per process and cropped for every part."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

BANK_HEIGHT, BANK_WIDTH = 1024, 1536
_BANK_SEED = 20_011


def _noise(name_seed: int, height: int = BANK_HEIGHT, width: int = BANK_WIDTH) -> Plane:
    rng = np.random.default_rng([_BANK_SEED, name_seed])
    return np.asarray(rng.standard_normal((height, width), np.float32), np.float32)


def _unit(plane: Plane) -> Plane:
    """Zero mean, standard deviation 1."""
    return np.asarray((plane - plane.mean()) / plane.std(), np.float32)


def _blur(plane: Plane, sigma_x: float, sigma_y: float) -> Plane:
    return _unit(cv2.GaussianBlur(plane, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y))


def _brushed() -> Plane:
    """Long hair lines along the rolling direction, some deeper than others."""
    fine = _blur(_noise(1), 60, 0.6)
    deep = _blur(_noise(2), 140, 0.9)
    wide = _blur(_noise(3), 90, 12)
    return np.asarray(0.028 * fine + 0.03 * np.abs(deep) + 0.02 * wide, np.float32)


def _milled() -> Plane:
    """Arcs left by a face mill: feed marks about every 0.9 mm, with run-out and grain."""
    y, x = np.mgrid[0:BANK_HEIGHT, 0:BANK_WIDTH].astype(np.float32)
    radius = np.hypot(x - BANK_WIDTH / 2, y + 900)
    phase = radius / 7.2 * 2 * np.pi + 1.2 * _blur(_noise(4), 80, 80)
    arcs = np.sin(phase) * (1 + 0.4 * _blur(_noise(5), 50, 50))
    return np.asarray(0.028 * arcs + 0.02 * _blur(_noise(6), 2.0, 2.0) + 0.015 * _noise(7), np.float32)


def _cast() -> Plane:
    """The skin of the mould: grain of several sizes."""
    grain = 0.03 * _blur(_noise(8), 1.4, 1.4) + 0.03 * _blur(_noise(9), 4, 4)
    return np.asarray(grain + 0.03 * _blur(_noise(10), 25, 25), np.float32)


def _anodised() -> Plane:
    """Fine and even; a trace of the brushing below the oxide."""
    return np.asarray(0.018 * _blur(_noise(11), 1.0, 1.0) + 0.014 * _blur(_noise(12), 45, 0.7), np.float32)


def blurred_noise(seed: int, shape: tuple[int, ...], sigma: float) -> Plane:
    """Soft wander of zero mean and standard deviation 1."""
    noise = np.random.default_rng([_BANK_SEED, seed]).standard_normal(shape, np.float32)
    return _unit(cv2.GaussianBlur(noise, (0, 0), sigma))


def _streaks(seed: int, lengths: tuple[float, ...], width: float) -> Plane:
    """Sum of hair lines of several lengths, the longer the fainter."""
    total = np.zeros((BANK_HEIGHT, BANK_WIDTH), np.float32)
    for number, length in enumerate(lengths):
        total += _blur(_noise(seed + number), length, width) / (1 + number)
    return _unit(total)


def _metal_brushed() -> Plane:
    """Scotch-brite finish: dense lines that begin and end, a few deep ones, slow banding across."""
    lines = _streaks(20, (18, 45, 120), 0.55)
    deep = np.maximum(_blur(_noise(24), 70, 0.8) - 1.6, 0)
    bands = _blur(_noise(25), 160, 6)
    return np.asarray(0.050 * lines - 0.07 * deep + 0.025 * bands, np.float32)


def _metal_milled() -> Plane:
    """Face mill: crossing arcs of the cutter's leading and trailing edge, tracks that overlap, chatter."""
    y, x = np.mgrid[0:BANK_HEIGHT, 0:BANK_WIDTH].astype(np.float32)
    track = np.floor(y / 260)
    middle = 260 * track + 130
    lead = np.sqrt(np.maximum(200.0**2 - (y - middle) ** 2, 0))
    chatter = 1 + 0.5 * _blur(_noise(27), 60, 20)
    wander = 0.8 * _blur(_noise(26), 40, 40)
    first = np.sin(2 * np.pi * (x - lead) / 6.4 + wander + 1.7 * track)
    second = np.sin(2 * np.pi * (x + lead) / 6.4 - wander)
    seam = np.exp(-(((y - 260 * track) / 2.5) ** 2))
    marks = 0.036 * first * chatter + 0.018 * second - 0.06 * seam
    return np.asarray(marks + 0.015 * _noise(28) + 0.02 * _blur(_noise(29), 60, 30), np.float32)


def _metal_cast() -> Plane:
    """Sand or die casting after blasting: grain of several sizes, pores, flow marks."""
    grain = 0.040 * _blur(_noise(30), 0.9, 0.9) + 0.032 * _blur(_noise(31), 2.2, 2.2)
    pores = np.maximum(_blur(_noise(32), 1.3, 1.3) - 2.1, 0)
    glints = np.maximum(_blur(_noise(33), 0.7, 0.7) - 2.0, 0)
    flow = 0.03 * _blur(_noise(34), 60, 22) + 0.02 * _blur(_noise(35), 14, 14)
    return np.asarray(grain - 0.16 * pores + 0.12 * glints + flow, np.float32)


def _metal_anodised() -> Plane:
    """Matt oxide over fine brushing; slight clouds of the bath."""
    sheen = 0.018 * _streaks(36, (25, 60), 0.6)
    return np.asarray(
        sheen + 0.014 * _blur(_noise(39), 0.8, 0.8) + 0.018 * _blur(_noise(40), 90, 70), np.float32
    )


def _belt() -> Plane:
    """Woven rubber belt: a weave of 1.5 mm, scuffs along the travel."""
    y, x = np.mgrid[0:BANK_HEIGHT, 0:BANK_WIDTH].astype(np.float32)
    weave = np.sin(2 * np.pi * (x + y) / 12) * np.sin(2 * np.pi * (x - y) / 12)
    scuffs = np.maximum(_blur(_noise(13), 45, 1.5) - 1.4, 0)
    dirt = _blur(_noise(14), 1.2, 1.2) + _blur(_noise(15), 40, 40)
    return np.asarray(0.10 * weave + 0.10 * dirt + 0.12 * scuffs, np.float32)


_MAKERS = {
    "brushed": _brushed,
    "milled": _milled,
    "cast": _cast,
    "anodised": _anodised,
    "metal_brushed": _metal_brushed,
    "metal_milled": _metal_milled,
    "metal_cast": _metal_cast,
    "metal_anodised": _metal_anodised,
    "belt": _belt,
}


@cache
def bank(name: str) -> Plane:
    """Relative deviation from the mean reflectance, 1024×1536; about 0.02..0.2 strong. Read-only."""
    plane = _unit(_noise(16)) if name == "sensor" else _MAKERS[name]()
    plane.setflags(write=False)
    return plane


def crop(name: str, height: int, width: int, rng: np.random.Generator) -> Plane:
    """A random, possibly mirrored view into a bank; read-only."""
    plane = bank(name)
    top = int(rng.integers(0, BANK_HEIGHT - height))
    left = int(rng.integers(0, BANK_WIDTH - width))
    view = plane[top : top + height, left : left + width]
    flips = int(rng.integers(0, 4))
    return view[:: -1 if flips & 1 else 1, :: -1 if flips & 2 else 1]
