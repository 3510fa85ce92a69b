"""Rendered twin parts as labelled pictures, kept on disk for the next training."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.dataset import render_set
from tools.training.sets import Labelled, Pictures, Size
from tools.twin.marks import FIRST_MARK, MARKS
from tools.twin.parts import CLASSES, DEFAULT_LOOK
from tools.twin.version import twin_version

EXTREME_SHARE = 0.35
"""Of the parts, these are exposed anywhere within ±2 EV, in training and examination alike."""
CELL_PX = 16
"""Side of a cell of ``Labelled.cells``, in pixels of the input: the stride of a network's third stage."""
_NAMES = ("images", "labels", "exposure_ev", "cells")


def twin_set(
    namespace: str,
    parts: int,
    seed: int,
    size: Size,
    cache: Path | None = None,
    *,
    look: str = DEFAULT_LOOK,
    severity_power: float = 1.0,
    marked: int = 0,
) -> Labelled:
    """Rendered parts; a second call with the same arguments and the same twin maps the first one's files.

    With ``marked`` further parts that have marks, whose kinds are classes behind the line's.
    """
    sort = f"{namespace} {parts} {marked} {seed} {size} {EXTREME_SHARE} {look} {severity_power}"
    key = hashlib.sha256(f"{sort} {twin_version()}".encode()).hexdigest()[:16]
    folder = (cache or Path(tempfile.gettempdir()) / "edge-twin-sets") / f"{namespace}-{parts}-{key}"
    if not folder.exists():
        made = render_set(
            namespace,
            parts,
            seed,
            size,
            extreme_share=EXTREME_SHARE,
            severity_power=severity_power,
            look=look,
            marked=marked,
        )
        made.boxes[:, 1] = _labels(made.boxes[:, 1])
        _write(
            folder,
            images=made.images,
            labels=_labels(made.labels),
            exposure_ev=np.array([spec.exposure_ev for spec in made.specs], np.float32),
            cells=cells_of(made.boxes, parts + marked, size),
        )
    images, labels, exposure, cells = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _NAMES)
    marks = MARKS if marked else ()
    return Labelled(
        images, np.array(labels), CLASSES + marks, np.array(exposure), np.array(cells), len(marks)
    )


def _labels(class_ids: NDArray[Any]) -> NDArray[Any]:
    """Marks follow the classes of the line at once; the twin's unseen defects, which lie between, are never drawn."""
    return np.where(class_ids < FIRST_MARK, class_ids, class_ids - FIRST_MARK + len(CLASSES))


def _write(folder: Path, **arrays: NDArray[np.generic]) -> None:
    """The folder appears under its name when all of it is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unfinished-") as place:
        made = Path(place) / "set"
        made.mkdir()
        for name, array in arrays.items():
            np.save(made / f"{name}.npy", array)
        made.rename(folder)


def cells_of(boxes: NDArray[np.float32], count: int, size: Size) -> Pictures:
    """count×h×w class ids of the defects' boxes (M×6: index, class, x1, y1, x2, y2 in pixels of the input)."""
    grid = np.zeros((count, -(-size[1] // CELL_PX), -(-size[0] // CELL_PX)), np.uint8)
    for index, class_id, x1, y1, x2, y2 in boxes.tolist():
        rows = slice(int(y1 // CELL_PX), int(y2 // CELL_PX) + 1)
        columns = slice(int(x1 // CELL_PX), int(x2 // CELL_PX) + 1)
        grid[int(index), rows, columns] = class_id
    return grid
