"""What good parts bring along and what is no defect: dust, fibres, hairline scratches, a film of oil."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.twin.metal.canvas import Canvas, Path, Window, offsets

_OIL_SHARE = 0.35


def handle(canvas: Canvas, rng: np.random.Generator) -> None:
    """All of it stays fainter or smaller than any defect."""
    if rng.random() < _OIL_SHARE:
        _oil(canvas, rng)
    _scratches(canvas, rng)
    _fibres(canvas, rng)
    _dust(canvas, rng)


def _oil(canvas: Canvas, rng: np.random.Generator) -> None:
    """A thin even film: it darkens by a tenth at most and has no rim."""
    height, width = canvas.luma.shape
    radius = canvas.px(rng.uniform(5, 13))
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    window = canvas.window(x, y, 1.4 * radius)
    dx, dy = offsets(window, x, y)
    wander = cv2.resize(
        rng.normal(0, 0.2, (5, 5)).astype(np.float32),
        (dx.shape[1], dy.shape[0]),
        interpolation=cv2.INTER_CUBIC,
    )
    film = np.clip((1 - np.hypot(dx, dy) / radius + wander) / 0.45, 0, 1).astype(np.float32)
    canvas.luma[window] *= 1 - np.float32(rng.uniform(0.03, 0.10)) * film


def _scratches(canvas: Canvas, rng: np.random.Generator) -> None:
    """Bright and hair-thin, from trays and from the neighbours; the longer along the handling."""
    height, width = canvas.luma.shape
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        angle, half = rng.normal(0, 0.5), canvas.px(rng.uniform(1.5, 8)) / 2
        bend = rng.normal(0, 0.06)
        along = np.linspace(-half, half, 7)
        path = np.stack([along, bend * along**2 / max(half, 1.0)], 1) @ _turn(angle) + (x, y)
        window, mask = _hair(canvas, path)
        canvas.luma[window] *= 1 + np.float32(rng.uniform(0.05, 0.16) / 255) * mask


def _fibres(canvas: Canvas, rng: np.random.Generator) -> None:
    """Lint: pale, curved, some millimetres long."""
    height, width = canvas.luma.shape
    for _ in range(int(rng.integers(0, 5)) // 3):
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, 12))
        step = canvas.px(rng.uniform(0.12, 0.3))
        path = np.array([x, y]) + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * step, 0)
        window, mask = _hair(canvas, path)
        luma = canvas.luma[window]
        luma += np.float32(0.3 / 255) * mask * (np.float32(1.15) - luma)


def _dust(canvas: Canvas, rng: np.random.Generator) -> None:
    """Specks of a tenth to a third of a millimetre, dark or bright."""
    height, width = canvas.luma.shape
    count = int(rng.integers(0, 12))
    largest = max(1, round(canvas.px(0.3)))
    columns, rows = rng.integers(4, width - 4, count), rng.integers(4, height - 4, count)
    for x, y, tone in zip(columns, rows, rng.uniform(0.6, 1.25, count), strict=True):
        size = int(rng.integers(1, largest + 1))
        canvas.luma[y : y + size, x : x + size] *= np.float32(tone)


def _hair(canvas: Canvas, path: Path) -> tuple[Window, NDArray[np.uint8]]:
    """A line one pixel wide."""
    window = canvas.around(path, 2)
    mask = np.zeros(canvas.luma[window].shape, np.uint8)
    points = np.round((path - (window[1].start, window[0].start)) * 16).astype(np.int32)
    cv2.polylines(mask, [points], False, 255, 1, cv2.LINE_AA, 4)
    return window, mask


def _turn(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
