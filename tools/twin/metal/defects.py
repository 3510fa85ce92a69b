"""The four defects on metal. Severity sets size (by ratio) and contrast; a good share lies at edges."""

from dataclasses import dataclass

import cv2
import numpy as np

from tools.twin.metal.canvas import (
    Canvas,
    Draw,
    Mark,
    Path,
    Window,
    between,
    edge_spot,
    mark_of,
    offsets,
    size_between,
    spot,
    stroke,
)
from tools.twin.parts import CLASSES
from tools.twin.surface import Plane, crop

# --- crack -------------------------------------------------------------------------------------------

CRACK_LENGTH_MM, CRACK_WIDTH_MM = (4.0, 18.0), (0.22, 0.5)


def _walk(rng: np.random.Generator, start: Path, angle: float, length: float, step: float) -> Path:
    """A path that keeps its direction but kinks, as cracks along grain boundaries do."""
    count = max(4, int(length / step))
    angles = angle + np.cumsum(rng.normal(0, 0.16, count)) + rng.normal(0, 0.38, count)
    steps = rng.uniform(0.5, 1.5, count) * step
    return np.vstack(
        [start, start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * steps[:, None], 0)]
    )


def draw_crack(canvas: Canvas, rng: np.random.Generator, severity: float) -> Mark:
    """Thin, dark, branching; its far lip catches the light. A third begins at the outline."""
    length = canvas.px(size_between(*CRACK_LENGTH_MM, severity) * rng.uniform(0.85, 1.15))
    if rng.random() < 0.35:
        x, y, heading = edge_spot(canvas, rng, 0.1)
        heading += rng.uniform(-0.6, 0.6)
    else:
        x, y = spot(canvas, rng, 1.0)
        height, width = canvas.alpha.shape
        # Towards the middle, so that it does not leave the part at once.
        heading = float(np.arctan2(height / 2 - y, width / 2 - x)) + rng.uniform(-1.2, 1.2)
    step = canvas.px(0.5)
    paths = [_walk(rng, np.array([x, y]), heading, length, step)]
    for _ in range(int(rng.integers(0, 3))):
        root = paths[0][int(rng.integers(1, len(paths[0]) - 1))]
        turn = rng.choice((-1, 1)) * rng.uniform(0.4, 1.0)
        paths.append(_walk(rng, root, heading + turn, length * rng.uniform(0.15, 0.4), step))
    window = canvas.around(np.vstack(paths), 4)
    part = _crack_mask(canvas, paths, window, size_between(*CRACK_WIDTH_MM, severity))
    move = max(1.0, canvas.px(0.2))
    shift = (round(-move * canvas.light[1]), round(-move * canvas.light[0]))
    lip = np.roll(part, shift, (0, 1)) * (1 - part) * canvas.alpha[window]
    canvas.luma[window] *= (1 - between(0.72, 0.92, severity) * part) * (1 + 0.22 * lip)
    return mark_of(part, window, 0.25)


def _crack_mask(canvas: Canvas, paths: list[Path], window: Window, width_mm: float) -> Plane:
    mask = np.zeros(canvas.alpha[window].shape, np.uint8)
    corner = np.array([window[1].start, window[0].start], np.float64)
    for number, path in enumerate(paths):
        stroke(mask, path - corner, canvas.px(width_mm) * (1.0 if number == 0 else 0.7))
    return np.asarray(mask / np.float32(255) * canvas.alpha[window], np.float32)


# --- stain -------------------------------------------------------------------------------------------

STAIN_RADIUS_MM = (1.0, 5.0)
_STAINS = ((0.74, 0.54, 0.32), (0.58, 0.46, 0.32), (0.58, 0.57, 0.52), (0.50, 0.47, 0.44), (0.62, 0.66, 0.58))
"""What rust, burnt oil, coolant residue, soot and corroded oxide let through (R, G, B)."""


def draw_stain(canvas: Canvas, rng: np.random.Generator, severity: float) -> Mark:
    """A translucent blob with a ragged, darker rim, as liquids dry; often with a few drops beside it."""
    radius = canvas.px(size_between(*STAIN_RADIUS_MM, severity) * rng.uniform(0.9, 1.15))
    x, y = edge_spot(canvas, rng, 0.8)[:2] if rng.random() < 0.25 else spot(canvas, rng, 1.0)
    window = canvas.window(x, y, 2.1 * radius + 2)
    dx, dy = offsets(window, x, y)
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.6)
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    distance = np.hypot(u / stretch, v * np.sqrt(stretch)) / radius + _ragged(rng, dx.shape[1], dy.shape[0])
    for _ in range(int(rng.integers(0, 4))):
        away, turn, size = rng.uniform(1.2, 1.7), rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.28)
        drop = np.hypot(dx - away * radius * np.cos(turn), dy - away * radius * np.sin(turn)) / (
            size * radius
        )
        distance = np.minimum(distance, drop + 0.1)
    body, rim = np.clip((1 - distance) / 0.22, 0, 1), np.exp(-(((distance - 0.88) / 0.1) ** 2))
    strength = between(0.75, 1.0, severity)
    film = np.clip(strength * (0.8 * body + 0.3 * rim), 0, 1).astype(np.float32) * canvas.alpha[window]
    if canvas.film is None:
        canvas.film = np.zeros(canvas.alpha.shape, np.float32)
        canvas.film_rgb = _STAINS[int(rng.integers(len(_STAINS)))]
    np.maximum(canvas.film[window], film, out=canvas.film[window])
    return mark_of(film, window, 0.35 * strength)


def _ragged(rng: np.random.Generator, width: int, height: int) -> Plane:
    coarse, fine = rng.normal(0, 0.16, (6, 6)), rng.normal(0, 0.05, (17, 17))
    planes = [
        cv2.resize(noise.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        for noise in (coarse, fine)
    ]
    return np.asarray(planes[0] + planes[1], np.float32)


# --- dent --------------------------------------------------------------------------------------------

DENT_RADIUS_MM = (0.8, 3.6)


def draw_dent(canvas: Canvas, rng: np.random.Generator, severity: float) -> Mark:
    """A dimple, or a gouge: dark on the lamp's side, bright on the far side, its edge thrown up a little.

    One in five sits on the outline and takes a bite out of it.
    """
    radius = canvas.px(size_between(*DENT_RADIUS_MM, severity) * rng.uniform(0.9, 1.15))
    on_edge = rng.random() < 0.2
    x, y = edge_spot(canvas, rng, 0.3)[:2] if on_edge else spot(canvas, rng, 1.2)
    stretch = rng.uniform(1.6, 2.4) if rng.random() < 0.25 else rng.uniform(1.0, 1.3)
    window = canvas.window(x, y, 2.2 * radius * np.sqrt(stretch) + 2)
    dx, dy = offsets(window, x, y)
    angle = rng.uniform(0, np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    u = (dx * cos + dy * sin) / (radius * np.sqrt(stretch))
    v = (dy * cos - dx * sin) * np.sqrt(stretch) / radius
    square = (u * u + v * v).astype(np.float32)
    if on_edge:
        canvas.alpha[window] *= np.clip((square - 0.16) / 0.25, 0, 1)
    # Slope of a bowl exp(-r²) with a rim; its gradient stands across the stretched axes.
    bowl = np.exp(-1.2 * square) - 0.16 * np.exp(-0.6 * (square - 2.4) ** 2)
    slope_x, slope_y = u * cos - v * sin, u * sin + v * cos
    towards = slope_x * canvas.light[0] + slope_y * canvas.light[1]
    depth = between(0.95, 1.35, severity)
    ground = 0.22 * np.exp(-6 * square) - 0.10 * np.exp(-square)
    shade = (depth * (ground - 1.15 * towards * bowl)).astype(np.float32) * canvas.alpha[window]
    canvas.luma[window] *= np.clip(1 + shade, 0.1, 2.2)
    seen = np.maximum(np.abs(shade), 1.0 * (square < 0.4)) if on_edge else np.abs(shade)
    return mark_of(seen, window, 0.15 * depth)


# --- excess ------------------------------------------------------------------------------------------

EXCESS_RADIUS_MM = (0.7, 3.0)


def draw_excess(canvas: Canvas, rng: np.random.Generator, severity: float) -> Mark:
    """Burr at the outline, spatter on the face, or a chip that curls: bright, with a hard shadow."""
    radius = canvas.px(size_between(*EXCESS_RADIUS_MM, severity) * rng.uniform(0.9, 1.15))
    kind = rng.random()
    if kind < 0.2 and severity > 0.15:
        return _chip(canvas, rng, radius)
    x, y, inwards = edge_spot(canvas, rng, rng.uniform(-0.2, 0.6))
    stretch = rng.uniform(1.0, 2.2)
    if kind > 0.7:
        x, y = spot(canvas, rng, 1.5)
        stretch = rng.uniform(1.0, 1.3)
    window = canvas.window(x, y, 2.0 * radius * stretch + 4)
    dx, dy = offsets(window, x, y)
    across, along = np.cos(inwards), np.sin(inwards)
    u = (dx * across + dy * along) * np.sqrt(stretch)
    v = (dy * across - dx * along) / np.sqrt(stretch)
    return _raise(canvas, _Lump(window, _disc(u, v, radius, rng), radius, severity), rng)


def _disc(dx: Plane, dy: Plane, radius: float, rng: np.random.Generator) -> Plane:
    """A ragged disc: its radius wanders with the angle."""
    angle = np.arctan2(dy, dx)
    wander = np.zeros_like(angle)
    for order, amount in ((2, 0.2), (3, 0.14), (5, 0.11), (9, 0.07)):
        wander += amount * np.sin(order * angle + rng.uniform(0, 2 * np.pi))
    distance = np.hypot(dx, dy) - radius * (1 + wander)
    return np.clip(0.5 - distance / 1.5, 0, 1).astype(np.float32)


def _chip(canvas: Canvas, rng: np.random.Generator, radius: float) -> Mark:
    """A curl of swarf that lies on the part."""
    x, y = spot(canvas, rng, 1.5)
    turns = np.linspace(0, rng.uniform(2.2, 5.0), 16) + rng.uniform(0, 2 * np.pi)
    reach = 1.3 * radius * np.linspace(1.0, rng.uniform(0.4, 0.8), 16)
    path = np.stack([x + reach * np.cos(turns), y + reach * np.sin(turns)], 1)
    window = canvas.around(path, 0.8 * radius + 4)
    mask = np.zeros(canvas.alpha[window].shape, np.uint8)
    stroke(mask, path - np.array([window[1].start, window[0].start]), max(1.0, 0.45 * radius), 0.6)
    lump = np.asarray(mask / np.float32(255), np.float32)
    return _raise(canvas, _Lump(window, lump, 0.5 * radius, 0.8), rng)


@dataclass(frozen=True)
class _Lump:
    """Material above the face: coverage 0..1 in its window, height as a radius in pixels."""

    window: Window
    cover: Plane
    radius: float
    severity: float


def _raise(canvas: Canvas, found: _Lump, rng: np.random.Generator) -> Mark:
    """Lays material on the part: lit on the lamp's side, rough, with a shadow on the far side."""
    window, lump, radius, severity = found.window, found.cover, found.radius, found.severity
    soft = cv2.GaussianBlur(lump, (0, 0), max(0.6, radius * 0.25))
    gradient_y, gradient_x = np.gradient(soft) if min(lump.shape) > 1 else (soft * 0, soft * 0)
    slope = -(gradient_x * canvas.light[0] + gradient_y * canvas.light[1]) * max(radius, 1.5)
    rough = crop("metal_cast", lump.shape[0], lump.shape[1], rng)
    bright = between(1.08, 1.18, severity) * (1 + 1.2 * rough) + 0.55 * slope
    move = max(1.0, 0.5 * radius)
    shift = np.array([[1, 0, -move * canvas.light[0]], [0, 1, -move * canvas.light[1]]], np.float32)
    shadow = cv2.GaussianBlur(cv2.warpAffine(lump, shift, lump.shape[::-1]), (0, 0), max(0.7, 0.15 * radius))
    luma, alpha = canvas.luma[window], canvas.alpha[window]
    luma *= 1 - between(0.6, 0.72, severity) * shadow * (1 - lump)
    luma += lump * (np.clip(bright, 0.25, 1.6) - luma)
    np.maximum(alpha, lump, out=alpha)
    return mark_of(lump, window, 0.3)


DRAW: dict[int, Draw] = {
    CLASSES.index("crack"): draw_crack,
    CLASSES.index("stain"): draw_stain,
    CLASSES.index("dent"): draw_dent,
    CLASSES.index("excess"): draw_excess,
}
