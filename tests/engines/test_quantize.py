from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge._core import CalibrationHistogram
from engines.errors import CalibrationError
from engines.graph import load_simplified
from engines.precision import PrecisionPlan, Rule
from engines.quantize import int8_graphs, quantize_u8s8
from engines.scales import observe


def tiny_graph(path: Path) -> Path:
    """Conv → Relu → GlobalAveragePool → Flatten → Gemm → Softmax, random weights."""
    rng = np.random.default_rng(3)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.4, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "g"], ["l"], "fc"),
        helper.make_node("Softmax", ["l"], ["scores"], "softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 6])],
        [weights("w", 8, 3, 3, 3), weights("g", 8, 6)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def batches(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32) for _ in range(count)]


def scores(path: Path, image: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["scores"], {"image": image})[0])


def test_weights_are_int8_activations_uint8_and_the_head_stays_float(tmp_path: Path) -> None:
    source, out = tiny_graph(tmp_path / "tiny.onnx"), tmp_path / "int8.onnx"
    quantize_u8s8(source, out, batches(8), CalibrationHistogram)
    graph = onnx.load(out).graph
    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    kernel = next(value for value in stored.values() if value.shape == (8, 3, 3, 3))
    assert kernel.dtype == np.int8
    assert any(value.shape == (8,) and value.dtype == np.float32 for value in stored.values())  # per channel
    points = [stored[n.input[2]].dtype for n in graph.node if n.op_type == "QuantizeLinear"]
    assert points
    assert set(points) == {np.dtype(np.uint8)}
    gemm = next(node for node in graph.node if node.op_type == "Gemm")
    assert stored[gemm.input[1]].dtype == np.float32


def test_the_quantised_graph_says_nearly_the_same(tmp_path: Path) -> None:
    source, out = tiny_graph(tmp_path / "tiny.onnx"), tmp_path / "int8.onnx"
    quantize_u8s8(source, out, batches(16), CalibrationHistogram)
    for image in batches(5):
        np.testing.assert_allclose(scores(out, image), scores(source, image), atol=0.03)


def test_no_calibration_picture_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    source = tiny_graph(tmp_path / "tiny.onnx")
    with pytest.raises(CalibrationError, match="no calibration picture"):
        quantize_u8s8(source, tmp_path / "int8.onnx", [], CalibrationHistogram)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_both_graphs_come_from_the_same_plan_and_scales(tmp_path: Path) -> None:
    """What the plan keeps higher is float in both, and both clip where the scales say."""
    model = load_simplified(tiny_graph(tmp_path / "tiny.onnx"))
    seen = observe(model, batches(8), CalibrationHistogram).scales("minmax")
    scales = replace(seen, ranges={n: replace(r, amax=r.amax * 0.7) for n, r in seen.ranges.items()})
    graphs = int8_graphs(model, PrecisionPlan(), scales)
    plain = int8_graphs(model, PrecisionPlan(rules=(Rule(nodes="conv", precision="fp32"),)), scales)
    for quantised, kept in ((graphs.qdq, plain.qdq), (graphs.u8s8, plain.u8s8)):
        assert weight_of(quantised, "conv").op_type == "DequantizeLinear"
        assert weight_of(kept, "conv") is None
        onnx.checker.check_model(quantised)
    amax = scales.ranges["image"].amax
    symmetric = {i.name: numpy_helper.to_array(i) for i in graphs.qdq.graph.initializer}["image/scale"]
    assert float(symmetric) == pytest.approx(amax / 127)
    found = {i.name: numpy_helper.to_array(i) for i in graphs.u8s8.graph.initializer}["image_scale"]
    low, high = (scales.ranges["image"].low, scales.ranges["image"].high)
    assert float(found) == pytest.approx((min(high, amax) - max(low, -amax)) / 255, rel=1e-5)
    assert amax < max(-low, high)  # it really clips


def weight_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    """The node that makes a convolution's weights; None: a constant."""
    conv = next(node for node in model.graph.node if node.name == name)
    return next((node for node in model.graph.node if conv.input[1] in node.output), None)
