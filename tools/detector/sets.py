"""Pictures with boxes, of the twin and of manifests."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.dataset import render_set
from tools.twin.parts import CLASSES, DEFAULT_LOOK, DEFECTS
from tools.twin.version import twin_version

PART = "part"
TWIN_BOX_CLASSES = (PART, *(CLASSES[index] for index in DEFECTS))
"""What the twin's gate finds; a defect's index here is its class id minus 1."""
EXTREME_SHARE = 0.35
"""Of the parts, these are exposed anywhere within ±2 EV, in training and examination alike."""

Item = tuple[int, float, float, float, float]
"""Class of boxes, x1, y1, x2, y2."""


@dataclass(frozen=True)
class BoxSet:
    """``images`` uint8 N×3×H×W (RGB); ``boxes`` float32 N×M×4 in pixels of these images; ``classes`` int64 N×M index
    into the classes of boxes, -1: no box; ``labels`` int64 N class ids of the pictures (-1: unknown)."""

    images: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    labels: NDArray[np.int64]
    exposure_ev: NDArray[np.float32]


def pad(found: Sequence[Sequence[Item]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Lists of (class, x1, y1, x2, y2) to padded arrays."""
    most = max(1, max((len(items) for items in found), default=1))
    boxes = np.zeros((len(found), most, 4), np.float32)
    classes = np.full((len(found), most), -1, np.int64)
    for row, items in enumerate(found):
        for column, (class_id, *box) in enumerate(items):
            boxes[row, column], classes[row, column] = box, class_id
    return boxes, classes


def twin_set(
    namespace: str,
    parts: int,
    seed: int,
    size: tuple[int, int],
    cache: Path | None = None,
    *,
    look: str = DEFAULT_LOOK,
    severity_power: float = 1.0,
) -> BoxSet:
    """Rendered parts, 65 % of them defective, 6 % empty belt; kept in ``cache`` for a run that goes on."""
    version = twin_version()[:12]
    name = f"{namespace}-{parts}-{seed}-{size[0]}x{size[1]}-{look}-{severity_power:g}-{version}.npz"
    kept = cache / name if cache else None
    if kept is not None and kept.exists():
        with np.load(kept) as data:
            return BoxSet(**{field.name: data[field.name] for field in fields(BoxSet)})
    made = render_set(
        namespace, parts, seed, size, extreme_share=EXTREME_SHARE, severity_power=severity_power, look=look
    )
    found: list[list[Item]] = [[] for _ in range(parts)]
    for items, box in zip(found, made.part_boxes.tolist(), strict=True):
        if not np.isnan(box[0]):
            items.append((0, *box))
    for index, class_id, *box in made.boxes.tolist():
        found[int(index)].append((int(class_id) - 1, *box))
    exposure = np.array([spec.exposure_ev for spec in made.specs], np.float32)
    result = BoxSet(made.images, *pad(found), made.labels, exposure)
    if kept is not None:
        _keep(result, kept)
    return result


def _keep(made: BoxSet, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, **{field.name: getattr(made, field.name) for field in fields(BoxSet)})
    part.replace(path)
