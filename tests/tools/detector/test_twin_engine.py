"""From rendered parts to an engine that loads, and its figures; far too short to be good."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from edge.inspection.engines import load_pair  # noqa: E402
from tools.detector import evaluate, train  # noqa: E402

MODELS = Path(__file__).parents[3] / "engines" / "models"


def test_a_short_training_gives_an_engine_with_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "_VALIDATION_PARTS", 48)
    monkeypatch.setattr(train, "_CALIBRATION_PARTS", 12)
    sizes = ["--parts", "64", "--test-parts", "48", "--size", "96x72", "--channels", "32"]
    places = ["--out", str(tmp_path), "--work", str(tmp_path / "work"), "--threads", "1"]
    warm = ["--backbone-from", str(MODELS / "gate.onnx")]
    monkeypatch.setattr("sys.argv", ["train", *sizes, "--epochs", "1", *places, *warm])
    train.main([*sizes, "--epochs", "1", *places, *warm])
    engine, _ = load_pair(tmp_path / "gate_detector.yaml", None, 1)
    engine.run()
    assert engine.scores.sum() == pytest.approx(1, abs=1e-4)
    assert engine.manifest.trained.command.endswith(f"--epochs 1 --backbone-from {warm[1]}")
    assert engine.manifest.measured.parts == 48
    report = tmp_path / "r.json"
    evaluate.main([str(tmp_path / "gate_detector.yaml"), "--parts", "24", "--report", str(report)])
    assert {"accuracy", "box_iou", "map50", "by_exposure", "latency_ms"} <= json.loads(
        report.read_text()
    ).keys()


def test_a_gate_without_boxes_has_no_such_figures() -> None:
    with pytest.raises(SystemExit, match="has no 'decoder'; expected a detector"):
        evaluate.main([str(MODELS / "gate.yaml")])
