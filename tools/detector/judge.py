"""What a network says of a set, in torch, while it trains: best score and box per class of boxes."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tools.detector.boxes import iou
from tools.detector.evidence import fit
from tools.detector.fit import Training, to_input
from tools.detector.net import Detector, decode, priors
from tools.detector.sets import PART, BoxSet
from tools.training.precision import mixed


@dataclass(frozen=True)
class Best:
    """``scores`` N×C, ``boxes`` N×C×4."""

    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]


@torch.inference_mode()
def best_of(net: Detector, images: NDArray[np.uint8], batch: int = 64) -> Best:
    """The best location of every class."""
    net.eval()
    places, scores, boxes = priors(net.spec), [], []
    for start in range(0, len(images), batch):
        with mixed("cpu"):
            raw = net(to_input(torch.from_numpy(images[start : start + batch])))
        raw = raw.float()
        best, where = raw[..., : net.spec.classes].max(1)
        found = decode(raw, places, net.spec)
        scores.append(best.sigmoid().numpy())
        boxes.append(found.gather(1, where[..., None].expand(-1, -1, 4)).numpy())
    return Best(np.concatenate(scores), np.concatenate(boxes))


def present(data: BoxSet, classes: int) -> NDArray[np.bool_]:
    """N×C: is there a box of this class?"""
    return np.stack([(data.classes == index).any(1) for index in range(classes)], 1)


def watch_twin(validation: BoxSet, training: Training) -> dict[str, float]:
    """Accuracy of the scores, share of defective parts called flawless, IoU of the part's box."""
    best = best_of(training.average, validation.images)
    scores = fit(best.scores, present(validation, training.spec.classes)).scores(best.scores)
    defective, there = validation.labels >= 2, validation.classes[:, 0] == 0
    part = iou(torch.from_numpy(best.boxes[there, 0]), torch.from_numpy(validation.boxes[there, 0]))
    return {
        "accuracy": float((scores.argmax(1) == validation.labels).mean()),
        "escapes": float((scores[defective].argmax(1) == 1).mean()),
        f"{PART}_iou": float(part.mean()),
    }
