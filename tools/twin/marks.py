"""Marks that no line knows by name: shapes times what they do to the light. For the training of features alone.

An engine that has only seen four defects keeps of a picture what tells these apart. One that also had to tell these
marks apart keeps more, and whoever teaches it a class of their own finds more to build on. The combinations that would
come close to the twin's unseen defects are left out (``_LEFT_OUT``), so that these stay unseen.
"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.twin.defects import Canvas, Draw, between, mask_box, offsets, spot
from tools.twin.frame import CanvasBox
from tools.twin.parts import CLASSES, UNSEEN, PartSpec, plan_parts
from tools.twin.surface import Plane

Shape = Callable[[Canvas, np.random.Generator, float], Plane]
"""(canvas, chance, severity) → how much of the mark lies on each pixel, 0..1."""
Effect = Callable[[Canvas, np.random.Generator, tuple[slice, slice], Plane, float], None]
_FIXED = 16
"""Of OpenCV's fixed-point coordinates: 4 bits."""


# --- shapes ------------------------------------------------------------------------------------------


def _drawn(
    canvas: Canvas, paths: list[NDArray[np.float64]], width_mm: float, *, filled: bool = False
) -> Plane:
    mask = np.zeros(canvas.alpha.shape, np.uint8)
    for path in paths:
        points = np.round(path * _FIXED).astype(np.int32)
        if filled:
            cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
        else:
            cv2.polylines(mask, [points], False, 255, max(1, round(canvas.px(width_mm))), cv2.LINE_AA, 4)
    return np.asarray(mask / np.float32(255), np.float32)


def _place(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.array(spot(canvas, rng, 1.5))


def _turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn, np.float64)


def _bow(rng: np.random.Generator, length: float) -> NDArray[np.float64]:
    steps = np.linspace(-0.5, 0.5, 24)
    return np.stack([steps * length, rng.normal(0, 0.08) * length * (1 - 4 * steps**2)], 1)


def _stroke(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    length = canvas.px(between(5, 20, severity) * rng.uniform(0.7, 1.2))
    path = _place(canvas, rng) + _turned(_bow(rng, length), rng.uniform(0, np.pi))
    return _drawn(canvas, [path], between(0.25, 0.7, severity))


def _hatch(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    centre, angle = _place(canvas, rng), rng.uniform(0, np.pi)
    length, gap = canvas.px(between(3, 9, severity)), canvas.px(rng.uniform(0.7, 1.4))
    fan = rng.normal(0, 0.1)
    count = int(rng.integers(4, 8))
    aside = [np.array((0.0, (i - count / 2) * gap)) for i in range(count)]
    paths = [centre + _turned(_bow(rng, length) + move, angle + i * fan) for i, move in enumerate(aside)]
    return _drawn(canvas, paths, between(0.25, 0.4, severity))


def _curl(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    turns = rng.uniform(0.8, 2.5) * np.pi
    angle = rng.uniform(0, 2 * np.pi) + np.linspace(0, turns, 40) * rng.choice((-1, 1))
    radius = canvas.px(between(1.2, 4.0, severity)) * np.linspace(1, rng.uniform(0.3, 1.0), 40)
    path = _place(canvas, rng) + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    return _drawn(canvas, [path], between(0.25, 0.6, severity))


def _zigzag(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    count = int(rng.integers(4, 9))
    step = canvas.px(between(0.8, 2.0, severity))
    sides = np.where(np.arange(count) % 2, 1, -1) * rng.uniform(0.5, 1.2)
    path = np.stack([np.arange(count) - count / 2, sides], 1) * step
    path = _place(canvas, rng) + _turned(path, rng.uniform(0, np.pi))
    return _drawn(canvas, [path], between(0.25, 0.5, severity))


def _dots(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    centre, radius = _place(canvas, rng), canvas.px(between(1.5, 5.0, severity))
    mask = np.zeros(canvas.alpha.shape, np.uint8)
    for _ in range(int(between(5, 30, severity))):
        x, y = centre + rng.normal(0, 0.5, 2) * radius
        size = int(_FIXED * canvas.px(rng.uniform(0.12, 0.35)))
        cv2.circle(mask, (int(_FIXED * x), int(_FIXED * y)), size, 255, -1, cv2.LINE_AA, 4)
    return np.asarray(mask / np.float32(255), np.float32)


def _ring(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    angle = np.linspace(0, 2 * np.pi, 48)
    stretch = rng.uniform(0.6, 1.0)
    path = np.stack([np.cos(angle), stretch * np.sin(angle)], 1) * canvas.px(between(1.2, 4.0, severity))
    path = _place(canvas, rng) + _turned(path, rng.uniform(0, np.pi))
    return _drawn(canvas, [path], between(0.25, 0.8, severity))


def _polygon(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    count = int(rng.integers(3, 6))
    angle = 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count + rng.uniform(0, 2 * np.pi)
    radius = canvas.px(between(0.9, 3.0, severity)) * rng.uniform(0.8, 1.3, count)
    path = _place(canvas, rng) + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    return _drawn(canvas, [path], 0.3, filled=True)


def _window(canvas: Canvas, rng: np.random.Generator, radius_mm: float) -> Plane:
    x, y = _place(canvas, rng)
    height, width = canvas.alpha.shape
    dx, dy = offsets((slice(0, height), slice(0, width)), x, y)
    radius = np.float32(canvas.px(radius_mm))
    return np.asarray(np.exp(-((dx / radius) ** 2) - (dy / radius / rng.uniform(0.6, 1.0)) ** 2), np.float32)


def _glow(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    return _window(canvas, rng, between(0.8, 3.5, severity))


def _cloud(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    soft = _window(canvas, rng, between(1.5, 4.5, severity))
    grain = canvas.px(rng.uniform(0.3, 0.8))
    height, width = (max(2, int(side / grain)) for side in canvas.alpha.shape)
    noise = cv2.resize(
        rng.standard_normal((height, width), np.float32),
        canvas.alpha.shape[::-1],
        interpolation=cv2.INTER_CUBIC,
    )
    return np.asarray(soft * np.clip(0.5 + noise, 0, 1), np.float32)


def _ripple(canvas: Canvas, rng: np.random.Generator, severity: float) -> Plane:
    soft = _window(canvas, rng, between(1.5, 4.5, severity))
    height, width = canvas.alpha.shape
    angle, period = rng.uniform(0, np.pi), canvas.px(rng.uniform(0.8, 2.2))
    along = np.arange(width)[None] * np.cos(angle) + np.arange(height)[:, None] * np.sin(angle)
    return np.asarray(soft * (0.5 + 0.5 * np.sin(2 * np.pi * along / period)), np.float32)


# --- what they do to the light -----------------------------------------------------------------------


def _dark(
    canvas: Canvas, rng: np.random.Generator, here: tuple[slice, slice], mark: Plane, severity: float
) -> None:
    canvas.luma[here] *= 1 - np.float32(between(0.3, 0.8, severity) * rng.uniform(0.8, 1.1)) * mark


def _bright(
    canvas: Canvas, rng: np.random.Generator, here: tuple[slice, slice], mark: Plane, severity: float
) -> None:
    canvas.luma[here] *= 1 + np.float32(between(0.3, 0.8, severity) * rng.uniform(0.8, 1.1)) * mark


def _relief(
    canvas: Canvas, rng: np.random.Generator, here: tuple[slice, slice], mark: Plane, severity: float
) -> None:
    """Raised or sunk: one flank catches the light, the other lies in shadow."""
    soft = cv2.GaussianBlur(mark, (0, 0), canvas.px(0.12))
    gy, gx = np.gradient(soft)
    slope = rng.choice((-1, 1)) * (gx * canvas.light[0] + gy * canvas.light[1]) * canvas.px(0.4)
    shade = between(0.6, 1.6, severity) * slope
    canvas.luma[here] *= np.clip(1 + shade, 0.2, 2.0).astype(np.float32)


def _haze(
    canvas: Canvas, rng: np.random.Generator, here: tuple[slice, slice], mark: Plane, severity: float
) -> None:
    """Covers the texture with one grey."""
    share = np.float32(between(0.6, 0.95, severity)) * mark
    luma = canvas.luma[here]
    grey = 1 + rng.choice((-1, 1)) * rng.uniform(0.22, 0.45)  # the metal is 1 on average
    luma += share * (np.float32(grey) - luma)


def _tint(
    canvas: Canvas, rng: np.random.Generator, here: tuple[slice, slice], mark: Plane, severity: float
) -> None:
    """Lets only some colours through."""
    plane = np.zeros(canvas.alpha.shape, np.float32)
    plane[here] = np.float32(between(0.65, 1.0, severity)) * mark
    passes = rng.uniform(0.4, 1.0, 3)
    passes[int(rng.integers(3))] = rng.uniform(0.3, 0.55)  # else it could be clear
    canvas.stain, canvas.stain_rgb = plane, (float(passes[0]), float(passes[1]), float(passes[2]))


_SHAPES: dict[str, Shape] = {
    "stroke": _stroke,
    "hatch": _hatch,
    "curl": _curl,
    "zigzag": _zigzag,
    "dots": _dots,
    "ring": _ring,
    "polygon": _polygon,
    "glow": _glow,
    "cloud": _cloud,
    "ripple": _ripple,
}
_EFFECTS: dict[str, Effect] = {
    "dark": _dark,
    "bright": _bright,
    "relief": _relief,
    "haze": _haze,
    "tint": _tint,
}
_LEFT_OUT = {
    *((shape, effect) for shape in ("stroke", "hatch") for effect in ("bright", "relief", "haze")),
    *((shape, "dark") for shape in ("dots", "cloud")),
    ("glow", "relief"),
}
"""Near a scratch, near corrosion, and one that is a dent."""
_KINDS = tuple((s, e) for s in _SHAPES for e in _EFFECTS if (s, e) not in _LEFT_OUT)
MARKS = tuple(f"{shape}-{effect}" for shape, effect in _KINDS)
FIRST_MARK = len(CLASSES) + len(UNSEEN)
"""Class id of the first mark."""


def _drawer(shape: str, effect: str) -> Draw:
    def draw(canvas: Canvas, rng: np.random.Generator, severity: float) -> CanvasBox:
        mark = _SHAPES[shape](canvas, rng, severity)
        rows, columns = np.flatnonzero((mark > 0.05).any(1)), np.flatnonzero((mark > 0.05).any(0))
        here = (slice(int(rows[0]), int(rows[-1]) + 2), slice(int(columns[0]), int(columns[-1]) + 2))
        on_metal = np.asarray(mark[here] * canvas.alpha[here], np.float32)
        _EFFECTS[effect](canvas, rng, here, on_metal, severity)
        return mask_box(on_metal, here, 0.2)

    return draw


DRAW_MARKS: dict[int, Draw] = {FIRST_MARK + i: _drawer(*kind) for i, kind in enumerate(_KINDS)}


def plan_marks(count: int, seed: int, *, namespace: str) -> list[PartSpec]:
    """Parts that all have a mark, every kind as often as the others, in the look ``plain``."""
    parts = plan_parts(count, seed, 0.0, namespace=f"marks-{namespace}")
    return [replace(spec, class_id=FIRST_MARK + spec.index % len(MARKS)) for spec in parts]
