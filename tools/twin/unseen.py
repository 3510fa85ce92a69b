"""Defects that no training set contains: for whoever teaches an engine something new and wants to know how well."""

import cv2
import numpy as np

from tools.twin.defects import Canvas, Draw, between, clip_window, mask_box, offsets, spot, window
from tools.twin.frame import CanvasBox
from tools.twin.parts import CLASSES, UNSEEN


def draw_scratch(canvas: Canvas, rng: np.random.Generator, severity: float) -> CanvasBox:
    """One to three parallel, nearly straight bright grooves with a dark flank, much longer than handling marks."""
    length = canvas.px(between(9, 24, severity) * rng.uniform(0.85, 1.15))
    width = canvas.px(between(0.3, 0.55, severity))
    centre, angle = np.array(spot(canvas, rng, 2.0)), rng.uniform(0, np.pi)
    along = np.array((np.cos(angle), np.sin(angle)))
    across = np.array((-along[1], along[0]))
    bow = rng.normal(0, 0.04) * length
    mask = np.zeros(canvas.alpha.shape, np.uint8)
    paths = []
    for number in range(int(rng.integers(1, 4))):
        steps = np.linspace(-0.5, 0.5, 24) * rng.uniform(0.7, 1.0)
        offset = number * canvas.px(rng.uniform(0.8, 1.5))
        path = centre + steps[:, None] * length * along
        path = path + (offset + bow * (1 - 4 * steps[:, None] ** 2)) * across
        points = np.round(path * 16).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, max(1, round(width)), cv2.LINE_AA, 4)
        paths.append(path)
    every = np.vstack(paths)
    here = clip_window(canvas, every.min(0) - 4, every.max(0) + 4)
    groove = np.asarray(mask[here] / np.float32(255) * canvas.alpha[here], np.float32)
    flank = np.roll(groove, (round(2 * across[1]), round(2 * across[0])), (0, 1)) * (1 - groove)
    shine = between(0.35, 0.75, severity)
    canvas.luma[here] *= (1 + shine * groove) * (1 - 0.5 * shine * flank * canvas.alpha[here])
    return mask_box(groove, here, 0.2)


def draw_corrosion(canvas: Canvas, rng: np.random.Generator, severity: float) -> CanvasBox:
    """A cluster of dark pits in a pale, chalky bloom."""
    radius = canvas.px(between(2.2, 5.5, severity) * rng.uniform(0.9, 1.2))
    x, y = spot(canvas, rng, 1.5)
    here = window(canvas, x, y, 1.8 * radius)
    dx, dy = offsets(here, x, y)
    ragged = cv2.resize(
        rng.normal(0, 0.2, (6, 6)).astype(np.float32),
        (dx.shape[1], dy.shape[0]),
        interpolation=cv2.INTER_CUBIC,
    )
    bloom = np.clip(1.4 - np.hypot(dx, dy) / radius - ragged, 0, 1)
    pits = np.zeros((dy.shape[0], dx.shape[1]), np.uint8)
    for _ in range(int(between(14, 45, severity))):
        away, turn = radius * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        place = (
            int(16 * (x - here[1].start + away * np.cos(turn))),
            int(16 * (y - here[0].start + away * np.sin(turn))),
        )
        cv2.circle(pits, place, int(16 * canvas.px(rng.uniform(0.12, 0.32))), 255, -1, cv2.LINE_AA, 4)
    depth = between(0.45, 0.8, severity)
    alpha = canvas.alpha[here]
    pale = between(0.15, 0.35, severity) * bloom * alpha
    canvas.luma[here] *= ((1 + pale) * (1 - depth * alpha * pits / np.float32(255))).astype(np.float32)
    seen = np.maximum(bloom, pits / np.float32(255)) * alpha
    return mask_box(np.asarray(seen, np.float32), here, 0.3)


DRAW_UNSEEN: dict[int, Draw] = {
    len(CLASSES) + UNSEEN.index("scratch"): draw_scratch,
    len(CLASSES) + UNSEEN.index("corrosion"): draw_corrosion,
}
