"""plan, calibrate and report on small pictures of our own, and on graphs that others would export."""

import csv
import datetime
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from edge.cli import app
from engines.load import load_engine
from engines.manifest import load_manifest
from engines.precision import load_plan
from engines.scales import Scales, parse_cache
from tests.engines.small_net import save, small_net
from tools.quantise.__main__ import main
from tools.quantise.data import manifest_sets

SIDE = 48
SMALL = ["--pictures", "30", "--choice-pictures", "24", "--exam-pictures", "40", "--normalise", "unit"]


def halves_net(classes: int = 2) -> onnx.ModelProto:
    """Which half is brighter: right on every picture whose halves differ, at any exposure that does not clip both."""
    rng = np.random.default_rng(1)
    first = np.zeros((4, 3, 8, 16), np.float32)
    first[0, :, :, :8], first[0, :, :, 8:], first[1] = 0.01, -0.01, 0
    first[1], first[2] = -first[0], rng.normal(0, 0.003, (3, 8, 16))  # the fourth channel is dead
    last = np.zeros((classes, 4), np.float32)
    last[0, 0], last[1, 1] = 2, 2
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], name="halves", strides=[8, 16]),
        node("Relu", ["c1"], ["r1"], name="relu"),
        node("Conv", ["r1", "w2"], ["c2"], name="mix"),
        node("GlobalAveragePool", ["c2"], ["p"], name="pool"),
        node("Flatten", ["p"], ["f"], name="flat"),
        node("Gemm", ["f", "wf"], ["l"], name="fc", transB=1),
        node("Softmax", ["l"], ["scores"], name="softmax"),
    ]
    mix = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)
    constants = {"w1": first, "w2": mix, "wf": last}
    graph = helper.make_graph(
        nodes,
        "halves",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, classes))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(name="pictures")
def _pictures(tmp_path: Path) -> Path:
    """A manifest of 90 grey pictures, classes left and right, splits train, val and test."""
    rng = np.random.default_rng(2)
    rows = []
    for index in range(90):
        label = ("left", "right")[index % 2]
        picture = rng.integers(30, 60, (SIDE, SIDE), dtype=np.uint8)
        bright = slice(0, SIDE // 2) if label == "left" else slice(SIDE // 2, SIDE)
        picture[:, bright] += np.uint8(rng.integers(8, 40))
        split = ("train", "val", "test")[0 if index < 40 else 1 + index % 4 // 2]
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture)
        rows.append((f"{index}.png", label, split))
    return write_manifest(tmp_path / "pictures.csv", rows)


def write_manifest(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "class", "split"), *rows])
    return path


@pytest.fixture(name="model")
def _model(tmp_path: Path) -> Path:
    return save(halves_net(), tmp_path / "halves.onnx")


def test_calibrate_makes_both_graphs_cache_and_scales_from_one_plan(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    main(["calibrate", str(model), "--data", str(pictures), "--out", str(out), *SMALL])
    facts = json.loads((out / "calibration.json").read_text())
    assert facts["coverage"]["classes"] == ["left", "right"]
    assert np.array(facts["coverage"]["counts"]).sum() == 30
    assert np.array(facts["coverage"]["counts"]).min() >= 1
    assert {item["method"] for item in facts["methods"]} == {"entropy", "minmax", "percentile"}
    assert facts["methods"][0]["method"] == facts["chosen"] == load_plan(out / "plan.yaml").calibration
    assert facts["dead_channels"] == {"halves": 1}
    scales = Scales.from_json((out / "scales.json").read_text())
    cached = parse_cache((out / "calibration.cache").read_text())
    assert cached == pytest.approx({name: item.scale for name, item in scales.ranges.items()}, rel=1e-6)
    constants = {i.name: numpy_helper.to_array(i) for i in onnx.load(out / "qdq.onnx").graph.initializer}
    assert float(constants["x/scale"]) == pytest.approx(scales.ranges["x"].scale)
    assert (out / "calibration.png").read_bytes()[:4] == b"\x89PNG"
    ort.InferenceSession(str(out / "u8s8.onnx"), providers=["CPUExecutionProvider"])
    said = capsys.readouterr().out
    assert "dead channels" in said
    assert "left" in said
    golden = tmp_path / "golden.npz"
    grey = [
        cv2.resize(cv2.imread(str(tmp_path / f"{i}.png")), (16, 16)).transpose(2, 0, 1) / 255
        for i in range(8)
    ]
    np.savez(golden, pictures=np.array(grey, np.float32), labels=np.arange(8) % 2)
    verify = [
        "engines",
        "verify",
        str(out / "u8s8.onnx"),
        "--reference",
        str(model),
        "--pictures",
        str(golden),
    ]
    assert CliRunner().invoke(app, verify).exit_code == 0


def test_with_a_manifest_the_calibrated_graph_is_an_engine(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    given = {
        "schema": 1, "name": "halves", "role": "classifier", "file": model.name,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(), "classes": ["left", "right"],
        "good_class": "left", "empty_class": "left",
        "input": {"width": 16, "height": 16, "channels": 3, "mean": [0, 0, 0], "std": [1, 1, 1], "resize": "area"},
        "precision": {"scheme": "u8s8", "head": "float32"},
        "trained": {"command": "by hand", "parts": 1, "seed": 1, "date": datetime.date(2026, 1, 1)},
        "measured": {
            "accuracy_fp32": 0.1, "accuracy_int8": 0.1, "escape_rate_at_argmax": 0.9, "latency_ms_fp32": 99.0,
            "latency_ms_int8": 99.0, "parts": 1, "seed": 9,
        },
    }  # fmt: skip
    manifest, out = model.with_suffix(".yaml"), tmp_path / "out"
    manifest.write_text(yaml.safe_dump(given), encoding="utf-8")
    main(
        [
            "calibrate",
            str(model),
            "--data",
            str(pictures),
            "--out",
            str(out),
            "--manifest",
            str(manifest),
            *SMALL,
        ]
    )
    made = load_manifest(out / "u8s8.yaml")
    assert made.model_path == out / "u8s8.onnx"
    assert (made.name, made.classes) == ("halves", ("left", "right"))
    assert made.measured.accuracy_fp32 > 0.9
    assert made.measured.accuracy_int8 > 0.9
    assert made.measured.escape_rate_at_argmax < 0.2
    assert made.measured.parts == 24
    assert made.measured.latency_ms_int8 < 99
    frame = np.zeros((1, 3, 16, 16), np.float32)
    frame[..., 8:] = 0.8
    engine = load_engine(out / "u8s8.yaml")
    engine.input[:] = frame
    engine.run()
    assert engine.scores.argmax() == 1


def test_plan_lists_the_layers_and_can_be_calibrated_with(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    main(["plan", str(model), "--data", str(pictures), "--out", str(out), "--layer-pictures", "6", *SMALL])
    facts = json.loads((out / "plan.json").read_text())
    assert {layer["name"] for layer in facts["layers"]} == {"halves", "mix"}
    assert facts["measure"] == "accuracy"
    assert facts["chosen"]["lifted"] == 0
    assert facts["chosen"]["drop"]["low"] <= facts["chosen"]["drop"]["points"]
    assert (out / "plan.png").read_bytes()[:4] == b"\x89PNG"
    plan = out / "plan.yaml"
    plan.write_text(plan.read_text().replace("rules: []", "rules: [{nodes: mix, precision: fp32}]"))
    main(["calibrate", str(model), "--data", str(pictures), "--out", str(out), "--plan", str(plan), *SMALL])
    mix = next(node for node in onnx.load(out / "qdq.onnx").graph.node if node.name == "mix")
    assert mix.input[1] == "w2"


def test_report_has_the_keys_that_others_read(model: Path, pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    main(["report", str(model), "--data", str(pictures), "--report", str(path), *SMALL])
    report = json.loads(path.read_text())
    assert report["fp32_accuracy"] > 0.9
    assert report["int8_drop_points"] == pytest.approx(
        100 * (report["fp32_accuracy"] - report["int8_accuracy"])
    )
    assert report["int8_accuracy"] == min(report["graphs"].values())
    assert {"cosine", "max_abs", "label_flips"} <= set(report["parity"])
    for key in ("without_exposure_drop_points", "u8s8_speedup", "calibration_seconds"):
        assert isinstance(report[key], float)
    assert report["calibration_seconds"] > 0
    assert sum(band["pictures"] for band in report["by_exposure"]) == report["pictures"] == 40
    assert len(report["by_exposure"]) >= 4
    assert (tmp_path / "r.png").exists()


def test_without_labels_that_fit_the_float_model_is_the_measure(pictures: Path, tmp_path: Path) -> None:
    model, path = save(halves_net(5), tmp_path / "five.onnx"), tmp_path / "r.json"
    main(["report", str(model), "--data", str(pictures), "--report", str(path), *SMALL])
    report = json.loads(path.read_text())
    assert (report["measure"], report["fp32_accuracy"]) == ("agreement", 1.0)


def refused(arguments: list[str], out: Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert not out.exists() or not any(out.iterdir())
    assert isinstance(stopped.value.code, str)
    return stopped.value.code


def test_a_model_that_guesses_is_refused(pictures: Path, tmp_path: Path) -> None:
    net = halves_net()
    weights = next(item for item in net.graph.initializer if item.name == "wf")
    weights.CopyFrom(numpy_helper.from_array(np.zeros((2, 4), np.float32), "wf"))
    model, out = save(net, tmp_path / "m.onnx"), tmp_path / "out"
    said = refused(["calibrate", str(model), "--data", str(pictures), "--out", str(out), *SMALL], out)
    assert "wrong --normalise, another order of classes" in said


def test_a_missing_class_and_a_broken_picture_are_refused(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rows = [tuple(row) for row in csv.reader(pictures.open())][1:]
    lacking = write_manifest(
        tmp_path / "lacking.csv", [row for row in rows if not (row[1] == "left" and row[2] == "train")]
    )
    arguments = ["calibrate", str(model), "--out", str(out), *SMALL, "--data"]
    assert "class 'left' has no picture" in refused([*arguments, str(lacking)], out)
    (tmp_path / "0.png").write_bytes(b"no picture")
    assert "0.png (line 2 of the manifest): not a picture" in refused(
        [*arguments, str(pictures), "--pictures", "80"], out
    )
    assert "cannot be read" in refused([*arguments, str(tmp_path / "no.csv")], out)


def test_a_real_sweep_is_measured_and_a_set_without_one_is_left_at_zero(
    pictures: Path, tmp_path: Path
) -> None:
    rows = [("path", "class", "split", "exposure")]
    for split in ("train", "val", "test"):
        for step, grey in (("1", 50), ("2", 100), ("3", 200)):
            name = f"{split}{step}.png"
            cv2.imwrite(str(tmp_path / name), np.full((8, 8), grey, np.uint8))
            rows.append((name, "part", split, step))
    path = tmp_path / "sweep.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert manifest_sets(path, "", None, 3).calibration.exposure_ev.tolist() == [-1.0, 0.0, 1.0]
    assert not manifest_sets(pictures, "", None, 30).calibration.exposure_ev.any()


def test_bad_options_end_at_once(model: Path, pictures: Path, tmp_path: Path) -> None:
    report = ["report", str(model), "--data", str(pictures), "--report", str(tmp_path / "no" / "r.json")]
    assert "its folder does not exist" in refused(report, tmp_path / "no")
    for wrong in (["--pictures", "0"], ["--exposure-share", "0.9"]):
        with pytest.raises(SystemExit):
            main([*report, *wrong])
    missing = ["calibrate", str(tmp_path / "no.onnx"), "--data", "twin", "--out", str(tmp_path / "out")]
    assert "the file is missing" in refused(missing, tmp_path / "out")


def test_the_twin_calibrates_and_an_untrained_model_is_told_so(tmp_path: Path) -> None:
    """All of the way through rendering, exposure and preprocess; random weights cannot know the classes."""
    net = small_net(classes=6)
    model, out = save(net, tmp_path / "m.onnx"), tmp_path / "out"
    sizes = ["--pictures", "18", "--choice-pictures", "40", "--exam-pictures", "1"]
    fixed = ["calibrate", str(model), "--data", "twin", "--out", str(out), *sizes]
    main([*fixed, "--method", "minmax"])
    counts = np.array(json.loads((out / "calibration.json").read_text())["coverage"]["counts"])
    assert counts.shape == (6, 3)
    assert (counts.sum(axis=0) > 0).all()
    with pytest.raises(SystemExit, match="an untrained model"):
        main(fixed)
