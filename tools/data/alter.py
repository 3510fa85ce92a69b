"""One altered copy of a picture, its boxes moved along; and the patch that is cut from it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.augment import Box
from engines.calibration_set import expose
from tools.data.policies import Policy

Picture = NDArray[np.uint8]
Boxes = list[Box]


def alter(bgr: Picture, boxes: Boxes, policy: Policy, rng: np.random.Generator) -> tuple[Picture, Boxes]:
    """Geometry in one warp, then light and noise. Boxes: x1, y1, x2, y2 in pixels, cut at the border."""
    height, width = bgr.shape[:2]
    warp = _geometry(width, height, policy, rng)
    moved = cv2.warpPerspective(bgr, warp, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    lit = expose(np.asarray(moved, np.uint8), float(rng.uniform(-1, 1)) * policy.exposure_ev, rng)
    gain = 1 + float(rng.uniform(-1, 1)) * policy.contrast
    grey = lit.astype(np.float32)
    grey = (grey - grey.mean()) * gain + grey.mean()
    grey += rng.normal(0, rng.uniform(0, 1) * policy.noise_levels, grey.shape)
    carried = [_carry(box, warp, width, height) for box in boxes]
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8), [box for box in carried if _area(box) > 0]


def _geometry(width: int, height: int, policy: Policy, rng: np.random.Generator) -> NDArray[np.float64]:
    flip_x = -1.0 if policy.flip_horizontal and rng.random() < 0.5 else 1.0
    flip_y = -1.0 if policy.flip_vertical and rng.random() < 0.5 else 1.0
    steps = int(policy.rotation_max_deg // policy.rotation_step_deg)
    angle = np.deg2rad(int(rng.integers(-steps, steps + 1)) * policy.rotation_step_deg)
    scale = float(rng.uniform(policy.scale_min, policy.scale_max))
    centre = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1.0]])
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ np.diag([flip_x, flip_y, 1])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    bent = corners + rng.uniform(-1, 1, (4, 2)) * policy.perspective * np.array([width, height])
    tilt = cv2.getPerspectiveTransform(corners, bent.astype(np.float32))
    return np.asarray(tilt @ centre @ turn @ np.linalg.inv(centre), np.float64)


def _carry(box: Box, warp: NDArray[np.float64], width: int, height: int) -> Box:
    x1, y1, x2, y2 = box
    corners = np.array([[[x1, y1], [x2, y1], [x2, y2], [x1, y2]]], np.float64)
    points = cv2.perspectiveTransform(corners, warp)[0]
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return _cut((float(left), float(top), float(right), float(bottom)), width, height)


def _cut(box: Box, width: int, height: int) -> Box:
    x1, y1, x2, y2 = box
    return max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def patch(bgr: Picture, boxes: Boxes, side: int, rng: np.random.Generator) -> tuple[Picture, Boxes]:
    """``side``×``side`` around one defect, or anywhere when there is none.

    A picture smaller than the patch is enlarged; one whose defect does not fit is shrunk as far as it can be.
    """
    short = min(bgr.shape[:2])
    target = boxes[int(rng.integers(len(boxes)))] if boxes else None
    longest = max(target[2] - target[0], target[3] - target[1]) if target else 0.0
    fit = min(1.0, 0.9 * side / longest) if longest else 1.0
    scale = max(fit, side / short)
    size = (max(side, round(bgr.shape[1] * scale)), max(side, round(bgr.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(bgr, size, interpolation=way) if scale != 1 else bgr
    height, width = resized.shape[:2]
    spans = ((target[0], target[2]), (target[1], target[3])) if target else (None, None)
    left, top = (
        _start(span and (span[0] * scale, span[1] * scale), room, side, rng)
        for span, room in zip(spans, (width, height), strict=True)
    )
    cut = [
        _cut((a * scale - left, b * scale - top, c * scale - left, d * scale - top), side, side)
        for a, b, c, d in boxes
    ]
    return np.ascontiguousarray(resized[top : top + side, left : left + side]), [
        b for b in cut if _area(b) > 0
    ]


def _start(span: tuple[float, float] | None, room: int, side: int, rng: np.random.Generator) -> int:
    low, high = 0, room - side
    if span is not None:
        low = int(np.clip(np.ceil(span[1]) - side, 0, high))
        high = int(np.clip(np.floor(span[0]), low, high))
    return int(rng.integers(low, high + 1))
