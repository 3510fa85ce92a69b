"""Pictures with boxes, of the twin and of manifests."""

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from edge._core import PixelFormat, Preprocess
from tools.twin.parts import CLASSES, DEFECTS, PartSpec, plan_parts
from tools.twin.render import CameraModel, render, warm_up

PART = "part"
TWIN_BOX_CLASSES = (PART, *(CLASSES[index] for index in DEFECTS))
"""What the twin's gate finds; a defect's index here is its class id minus 1."""
_MOST_BOXES = 32


@dataclass(frozen=True)
class BoxSet:
    """``images`` uint8 N×3×H×W (RGB); ``boxes`` float32 N×M×4 in pixels of these images; ``classes`` int64 N×M index
    into the classes of boxes, -1: no box; ``labels`` int64 N class ids of the pictures (-1: unknown)."""

    images: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    labels: NDArray[np.int64]
    exposure_ev: NDArray[np.float32]


def pad(found: Sequence[Sequence[tuple[int, float, float, float, float]]]) -> tuple[
    NDArray[np.float32], NDArray[np.int64]
]:
    """Lists of (class, x1, y1, x2, y2) to padded arrays."""
    most = max(1, max((len(items) for items in found), default=1))
    boxes = np.zeros((len(found), most, 4), np.float32)
    classes = np.full((len(found), most), -1, np.int64)
    for row, items in enumerate(found):
        for column, (class_id, *box) in enumerate(items):
            boxes[row, column], classes[row, column] = box, class_id
    return boxes, classes


def twin_set(namespace: str, parts: int, seed: int, size: tuple[int, int], workers: int = 2) -> BoxSet:
    """Renders parts through the preprocess of the runtime; 65 % defective, 6 % empty belt."""
    specs = plan_parts(parts, seed, 0.65, ghost_share=0.06, namespace=namespace)
    chunks = [(specs[start : start + 200], size) for start in range(0, parts, 200)]
    with get_context("spawn").Pool(workers) as pool:
        done = pool.map(_render_chunk, chunks, chunksize=1)
    boxes, classes = pad([items for _, found in done for items in found])
    return BoxSet(
        np.concatenate([images for images, _ in done]),
        boxes,
        classes,
        np.array([spec.class_id for spec in specs]),
        np.array([spec.exposure_ev for spec in specs], np.float32),
    )


def _render_chunk(job: tuple[Sequence[PartSpec], tuple[int, int]]):
    import cv2

    cv2.setNumThreads(1)
    specs, (width, height) = job
    camera = CameraModel()
    warm_up(camera)
    preprocess = Preprocess(out_width=width, out_height=height, resize="area")
    value = np.empty(preprocess.shape, np.float32)
    images = np.empty((len(specs), 3, height, width), np.uint8)
    scale = np.array([width / camera.width, height / camera.height] * 2)
    found = []
    for image, spec in zip(images, specs, strict=True):
        part = render(spec, camera)
        preprocess.into(part.pixels.reshape(-1), camera.width, camera.height, camera.width, PixelFormat.BAYER_RG8, value)
        image[:] = np.rint(value[0] * 255)
        items = [(0, *part.part_box)] if part.part_box else []
        items += [(class_id - 1, *box) for class_id, *box in part.boxes]
        found.append([(item[0], *(np.array(item[1:]) * scale)) for item in items])
    return images, found
