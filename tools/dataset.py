"""Rendered parts as tensors, through the preprocess of the runtime."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from edge._core import PixelFormat, Preprocess
from edge.errors import TwinError
from tools.twin.marks import plan_marks
from tools.twin.parts import DEFAULT_LOOK, PartSpec, plan_parts
from tools.twin.render import CameraModel, render, warm_up

TRAIN, VALIDATION, CALIBRATION, TEST = "train", "validation", "calibration", "test"
"""Namespaces of seeds: sets never share a part with each other or with a demo line."""

EXTREME_EV = 2.0
"""Parts that are exposed wrongly lie anywhere within ± so many stops."""


@dataclass(frozen=True)
class PartSet:
    """``images`` uint8 N×3×H×W (RGB, not normalised), ``labels`` int64 N."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    specs: list[PartSpec]
    boxes: NDArray[np.float32]
    """M×6: picture index, class id, x1, y1, x2, y2 of every defect, in pixels of ``images``."""
    part_boxes: NDArray[np.float32]
    """N×4: x1, y1, x2, y2 of the part; NaN: empty belt."""


def render_set(
    namespace: str,
    parts: int,
    seed: int,
    size: tuple[int, int],
    *,
    defect_share: float = 0.65,
    extreme_share: float = 0.0,
    severity_power: float = 1.0,
    workers: int = 2,
    look: str = DEFAULT_LOOK,
    marked: int = 0,
) -> PartSet:
    """Renders ``parts`` parts and shrinks them to ``size`` (width, height); 6 % are empty belt.

    ``extreme_share`` of them are exposed anywhere within ±2 EV instead of the lamp's usual drift. Severities are raised
    to ``severity_power``: 2 makes half of the defects fainter than 0.25, as suits a training. Behind them come
    ``marked`` parts with marks (``tools.twin.marks``), in the look ``plain``. ``workers`` 0: in this process. Raises
    TwinError for a power that is not a positive number.
    """
    if not 0 < severity_power < math.inf:
        raise TwinError(
            f"a severity power of {severity_power:g}: expected a number above 0, 1 as the line draws them"
        )
    specs = plan_parts(parts, seed, defect_share, ghost_share=0.06, namespace=namespace, look=look)
    if marked:
        specs += [
            replace(spec, index=parts + spec.index) for spec in plan_marks(marked, seed, namespace=namespace)
        ]
    specs = [_fainter(spec, severity_power) for spec in _with_extremes(specs, extreme_share, seed)]
    chunks = [(specs[start : start + 200], size) for start in range(0, len(specs), 200)]
    if workers == 0:
        made = [_render_chunk(chunk) for chunk in chunks]
    else:
        # Not fork: OpenCV and torch have threads of their own.
        with get_context("spawn").Pool(workers) as pool:
            made = pool.map(_render_chunk, chunks, chunksize=1)
    images, boxes, part_boxes = (np.concatenate(arrays) for arrays in zip(*made, strict=True))
    return PartSet(images, np.array([spec.class_id for spec in specs]), specs, boxes, part_boxes)


def _with_extremes(specs: list[PartSpec], share: float, seed: int) -> list[PartSpec]:
    # One row per part: the choice for a part does not depend on how many follow it.
    draws = np.random.default_rng([seed, 3]).random((len(specs), 2))
    return [
        replace(spec, exposure_ev=float(EXTREME_EV * (2 * ev - 1))) if chance < share else spec
        for spec, (chance, ev) in zip(specs, draws, strict=True)
    ]


def _fainter(spec: PartSpec, power: float) -> PartSpec:
    more = tuple((class_id, severity**power) for class_id, severity in spec.more_defects)
    return replace(spec, severity=spec.severity**power, more_defects=more)


def _render_chunk(
    job: tuple[Sequence[PartSpec], tuple[int, int]],
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    specs, (width, height) = job
    camera = CameraModel()
    _warm(camera)
    preprocess = Preprocess(out_width=width, out_height=height, resize="area")
    value = np.empty(preprocess.shape, np.float32)
    images = np.empty((len(specs), 3, height, width), np.uint8)
    boxes = []
    part_boxes = np.full((len(specs), 4), np.nan, np.float32)
    scale = np.tile((width / camera.width, height / camera.height), 2)
    for image, part_box, spec in zip(images, part_boxes, specs, strict=True):
        rendered = render(spec, camera)
        boxes += [(spec.index, class_id, *(scale * box)) for class_id, *box in rendered.boxes]
        if rendered.part_box is not None:
            part_box[:] = scale * rendered.part_box
        pixels = rendered.pixels.reshape(-1)
        preprocess.into(pixels, camera.width, camera.height, camera.width, PixelFormat.BAYER_RG8, value)
        np.rint(value[0] * 255, out=value[0])
        image[:] = value[0]
    return images, np.array(boxes, np.float32).reshape(-1, 6), part_boxes


@cache
def _warm(camera: CameraModel) -> None:
    import cv2

    cv2.setNumThreads(1)
    warm_up(camera)


def normalise(images: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """uint8 N×3×H×W to what the engines take."""
    shape = (1, 3, 1, 1)
    centred = images.astype(np.float32) / np.float32(255) - np.asarray(mean, np.float32).reshape(shape)
    return np.asarray(centred / np.asarray(std, np.float32).reshape(shape), np.float32)
