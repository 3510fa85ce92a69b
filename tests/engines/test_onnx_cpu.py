"""The CPU engine: buffers bound once, and models that do not fit are refused."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from engines.errors import ManifestError
from engines.manifest import load_manifest
from engines.onnx_cpu import load_cpu_engine


def write_model(folder: Path, in_shape: list[Any], classes: int) -> None:
    """scores = mean over the picture of channel c, for as many channels as classes are wanted of three."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Slice", ["mean", "from", "to", "axis"], ["scores"]),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [1], [value])
        for name, value in (("from", 0), ("to", classes), ("axis", 1))
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, in_shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [in_shape[0], classes])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "m.onnx")


def manifest(folder: Path) -> Path:
    shares = {"accuracy_fp32": 1.0, "accuracy_int8": 1.0, "escape_rate_at_argmax": 0.0}
    data = {
        "schema": 1,
        "name": "m",
        "role": "gate",
        "file": "m.onnx",
        "sha256": hashlib.sha256((folder / "m.onnx").read_bytes()).hexdigest(),
        "classes": ["no_part", "flawless", "crack"],
        "good_class": "flawless",
        "empty_class": "no_part",
        "input": {
            "width": 8,
            "height": 8,
            "channels": 3,
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
            "resize": "area",
        },
        "precision": {"scheme": "u8s8", "head": "float32"},
        "trained": {"command": "make-it", "parts": 1, "seed": 1, "date": "2026-01-01"},
        "measured": {**shares, "latency_ms_fp32": 1.0, "latency_ms_int8": 1.0, "parts": 1, "seed": 1},
    }
    path = folder / "m.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def test_a_run_reads_and_fills_the_bound_buffers(tmp_path: Path) -> None:
    write_model(tmp_path, [1, 3, 8, 8], 3)
    engine = load_cpu_engine(load_manifest(manifest(tmp_path)))
    for value in (0.25, 0.75):
        engine.input[0, 2] = value
        engine.run()
        assert np.allclose(engine.scores, [[0, 0, value]])


@pytest.mark.parametrize(
    ("shape", "classes", "text"),
    [
        ([1, 3, 16, 16], 3, r"input: found .*16, 16.* expects .*\(1, 3, 8, 8\)"),
        ([1, 3, 8, 8], 2, r"output: found .*\(1, 2\).* expects .*\(1, 3\)"),
        (["N", 3, 8, 8], 3, r"input: found .*'N'.*batch size 1"),
    ],
)
def test_a_model_that_does_not_fit_its_manifest_is_refused(
    tmp_path: Path, shape: list[Any], classes: int, text: str
) -> None:
    write_model(tmp_path, shape, classes)
    with pytest.raises(ManifestError, match=text):
        load_cpu_engine(load_manifest(manifest(tmp_path)))


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, [1, 3, 8, 8], 3)
    model = tmp_path / "m.onnx"
    model.write_bytes(model.read_bytes()[:60])
    with pytest.raises(ManifestError, match=r"cannot load it .*make it again with: make-it"):
        load_cpu_engine(load_manifest(manifest(tmp_path)))
