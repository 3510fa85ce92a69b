from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from edge._core import BoxScores, PixelFormat, Preprocess
from edge.inspection.engines import load_pair
from engines.manifest import EngineManifest, load_manifest
from tools.detector.metrics import mean_iou
from tools.twin.parts import CLASSES, plan_parts
from tools.twin.render import CameraModel, render

MODELS = Path(__file__).parents[2] / "engines" / "models"
PARTS = 300
MAX_BYTES = {"gate": 2_000_000, "classifier": 16_000_000}
CAMERA = CameraModel()


@cache
def frames() -> tuple[list[np.ndarray], np.ndarray]:
    specs = plan_parts(PARTS, 77, 0.65, ghost_share=0.06, namespace="unit test")
    return [render(spec, CAMERA).pixels.reshape(-1) for spec in specs], np.array(
        [spec.class_id for spec in specs]
    )


def preprocess_of(manifest: EngineManifest) -> Preprocess:
    spec = manifest.input
    return Preprocess(
        out_width=spec.width,
        out_height=spec.height,
        channels=spec.channels,
        mean=spec.mean,
        std=spec.std,
        resize=spec.resize,
    )


@pytest.mark.parametrize("role", ["gate", "classifier"])
def test_a_shipped_engine_is_better_than_nine_in_ten_on_unseen_parts(role: str) -> None:
    manifest = load_manifest(MODELS / f"{role}.yaml")
    assert manifest.role == role
    assert manifest.classes == CLASSES
    assert manifest.model_path.stat().st_size <= MAX_BYTES[role]
    session = ort.InferenceSession(str(manifest.model_path), providers=["CPUExecutionProvider"])
    preprocess = preprocess_of(manifest)
    image = np.empty(preprocess.shape, np.float32)
    assert tuple(session.get_inputs()[0].shape) == preprocess.shape
    scores = []
    pixels, labels = frames()
    for frame in pixels:
        preprocess.into(frame, CAMERA.width, CAMERA.height, CAMERA.width, PixelFormat.BAYER_RG8, image)
        scores.append(session.run(["scores"], {"image": image})[0][0])
    table = np.array(scores)
    np.testing.assert_allclose(table.sum(1), 1, atol=1e-4)
    assert (table.argmax(1) == labels).mean() > 0.9


def test_the_shipped_detector_finds_parts_and_defects() -> None:
    engine, _ = load_pair(MODELS / "gate_detector.yaml", None, 1)
    boxes = engine.decoder
    assert isinstance(boxes, BoxScores)
    assert engine.manifest.model_path.stat().st_size <= MAX_BYTES["gate"]
    preprocess, right, found, truth = preprocess_of(engine.manifest), [], [], []
    scale = np.tile(
        (CAMERA.width / engine.manifest.input.width, CAMERA.height / engine.manifest.input.height), 2
    )
    for spec in plan_parts(PARTS, 78, 0.65, ghost_share=0.06, namespace="unit test"):
        part = render(spec, CAMERA)
        pixels = part.pixels.reshape(-1)
        preprocess.into(
            pixels, CAMERA.width, CAMERA.height, CAMERA.width, PixelFormat.BAYER_RG8, engine.input
        )
        engine.run()
        right.append(engine.scores[0].argmax() == spec.class_id)
        if part.part_box is not None and boxes.part is not None:
            found.append(scale * boxes.part[:4])
            truth.append(part.part_box)
    assert np.mean(right) > 0.95
    assert mean_iou(np.array(found, np.float32), np.array(truth, np.float32)) > 0.9
