"""How good the boxes of a detector gate are: IoU of the part, and mean average precision of the defects."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.predictions import LabelledFrame
from edge import _core
from edge.camera.settings import Roi
from engines.manifest import EngineManifest
from tools.detector.metrics import Picture, average_precision, mean_iou


class BoxJudge:
    """Fed after every run of the gate with the frame that it saw; boxes are compared in frame pixels."""

    def __init__(self, boxes: _core.BoxScores, manifest: EngineManifest, roi: Roi | None) -> None:
        assert manifest.decoder is not None
        self._boxes, self._roi, self._input = boxes, roi, manifest.input
        spec = manifest.decoder
        self._class_of = np.array(
            [
                -1
                if item.ignored or item.name == spec.part_class
                else manifest.classes.index(item.engine_class)
                for item in spec.box_classes
            ]
        )
        self._true_parts: list[tuple[float, ...]] = []
        self._found_parts: list[tuple[float, ...]] = []
        self._pictures: list[Picture] = []

    def add(self, frame: LabelledFrame) -> None:
        """Reads what the decoder has found just now."""
        found = self._to_frame(self._boxes.detections, frame)
        defects = self._class_of[found[:, 5].astype(int)]
        mine = defects >= 0
        truth = np.array(frame.defect_boxes, np.float32).reshape(-1, 5)
        self._pictures.append(
            Picture(
                truth[:, 1:], truth[:, 0].astype(np.int64), found[mine, :4], defects[mine], found[mine, 4]
            )
        )
        if frame.part_box is not None:
            part = self._boxes.part
            row = np.zeros((1, 6), np.float32) if part is None else np.array([part], np.float32)
            self._true_parts.append(frame.part_box)
            self._found_parts.append(tuple(self._to_frame(row, frame)[0, :4].tolist()))

    def figures(self, classes: Sequence[int]) -> tuple[float | None, float | None]:
        """(mean IoU of the part, a part that was not found counts 0; mAP at IoU 0.5 over the classes that occur)."""
        iou = mean_iou(np.array(self._true_parts, np.float32), np.array(self._found_parts, np.float32))
        precisions = np.array([average_precision(self._pictures, class_id) for class_id in classes])
        known = precisions[~np.isnan(precisions)]
        return _rounded(iou), _rounded(float(known.mean()) if len(known) else float("nan"))

    def _to_frame(self, rows: NDArray[np.float32], frame: LabelledFrame) -> NDArray[np.float32]:
        """n × (x1, y1, x2, y2, …) from pixels of the input to pixels of the frame."""
        roi = self._roi
        left, top = (roi.x, roi.y) if roi else (0, 0)
        width, height = (roi.width, roi.height) if roi else (frame.width, frame.height)
        scale = np.array((width / self._input.width, height / self._input.height) * 2, np.float32)
        moved = np.array(rows, np.float32).reshape(-1, 6)
        moved[:, :4] = moved[:, :4] * scale + np.array((left, top) * 2, np.float32)
        return moved


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 5)
