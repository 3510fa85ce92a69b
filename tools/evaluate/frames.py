"""Frames with their truth: rendered by the twin in a process beside, or read from the pictures of a manifest."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from calibration.errors import CalibrationError
from calibration.predictions import LabelledFrame
from edge._core import PixelFormat
from tools.dataset import EXTREME_EV
from tools.twin.parts import DEFAULT_LOOK, PartSpec, plan_parts
from tools.twin.render import CameraModel, render, warm_up

CERTIFICATION = "certification"
"""Namespace of the parts that thresholds are certified on: nobody trains, fits or chooses with them."""
GHOST_SHARE = 0.06
USUAL_EV = 0.5
"""The lamp's drift stays within this; parts beyond are exposed wrongly on purpose."""
_CHUNK = 50
_AHEAD = 3
"""Chunks that wait: 50 frames of 0.3 MB each."""


def twin_frames(
    parts: int,
    seed: int,
    namespace: str,
    *,
    defect_share: float = 0.65,
    extreme_share: float = 0.0,
    look: str = DEFAULT_LOOK,
    workers: int = 1,
) -> Iterator[LabelledFrame]:
    """Rendered parts in their order; 6 % of the places are empty. The same arguments give the same frames.

    ``extreme_share`` of them are exposed anywhere within ±2 EV in place of the lamp's usual drift.
    """
    specs = plan_parts(parts, seed, defect_share, ghost_share=GHOST_SHARE, namespace=namespace, look=look)
    draws = np.random.default_rng([seed, 5]).random((parts, 2))
    specs = [
        replace(spec, exposure_ev=float(EXTREME_EV * (2 * ev - 1))) if chance < extreme_share else spec
        for spec, (chance, ev) in zip(specs, draws, strict=True)
    ]
    chunks = [specs[start : start + _CHUNK] for start in range(0, parts, _CHUNK)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[list[LabelledFrame]]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_render, chunk))
            if len(waiting) > _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _render(specs: Sequence[PartSpec]) -> list[LabelledFrame]:
    camera = CameraModel()
    _warm(camera)
    frames = []
    for spec in specs:
        rendered = render(spec, camera)
        frames.append(
            LabelledFrame(
                rendered.pixels.reshape(-1),
                camera.width,
                camera.height,
                camera.width,
                PixelFormat.BAYER_RG8,
                spec.class_id,
                spec.exposure_ev,
                spec.severity,
                part_box=rendered.part_box,
                defect_boxes=tuple(rendered.boxes),
            )
        )
    return frames


@cache
def _warm(camera: CameraModel) -> None:
    cv2.setNumThreads(1)
    warm_up(camera)


def manifest_rows(path: Path, classes: Sequence[str], split: str | None) -> list[tuple[Path, int, float]]:
    """(picture, class id, exposure) of a CSV with the columns path, class and, if there are such, split and exposure.

    Raises CalibrationError: no file, missing columns, a class that the engines do not know, no rows.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CalibrationError(
            f"{path}: cannot be read ({error}); expected a CSV manifest of pictures"
        ) from error
    columns = set(rows[0]) if rows else set()
    if not {"path", "class"} <= columns:
        raise CalibrationError(
            f"{path}: columns {sorted(columns)}; expected path and class (and split, exposure)"
        )
    found = []
    for number, row in enumerate(rows, 2):
        if split is not None and row.get("split") not in (None, "", split):
            continue
        if row["class"] not in classes:
            raise CalibrationError(
                f"{path}:{number}: class '{row['class']}' is not one of the engines' {list(classes)}; "
                "give engines that were trained on these classes (--gate, --classifier)"
            )
        found.append((path.parent / row["path"], list(classes).index(row["class"]), _exposure(row)))
    if not found:
        raise CalibrationError(
            f"{path}: no row of split '{split}'; expected at least one (found {len(rows)} rows)"
        )
    return found


def _exposure(row: dict[str, str]) -> float:
    try:
        return float(row.get("exposure") or 0.0)
    except ValueError:
        return 0.0


def manifest_frames(rows: Sequence[tuple[Path, int, float]]) -> Iterator[LabelledFrame]:
    """Grey pictures as MONO8, others as BGR8. Raises CalibrationError for a picture that cannot be read."""
    for path, class_id, exposure in rows:
        data = np.fromfile(path, np.uint8) if path.is_file() else None
        picture = None if data is None or not len(data) else cv2.imdecode(data, cv2.IMREAD_ANYCOLOR)
        if picture is None or picture.dtype != np.uint8:
            raise CalibrationError(
                f"{path}: not a picture that can be read; expected PNG, JPEG or BMP, 8 bit; "
                "restore it or take its row out of the manifest"
            )
        height, width = picture.shape[:2]
        samples = 1 if picture.ndim == 2 else 3
        yield LabelledFrame(
            np.ascontiguousarray(picture).reshape(-1),
            width,
            height,
            width * samples,
            PixelFormat.MONO8 if samples == 1 else PixelFormat.BGR8,
            class_id,
            exposure,
        )
