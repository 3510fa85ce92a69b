from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.errors import QuantizeError
from engines.quantize import head_nodes, quantize_u8s8


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
    assert sorted(head_nodes(source)) == ["fc", "softmax"]
    quantize_u8s8(source, out, batches(8), exclude=head_nodes(source))
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
    quantize_u8s8(source, out, batches(16), exclude=head_nodes(source))
    for image in batches(5):
        np.testing.assert_allclose(scores(out, image), scores(source, image), atol=0.03)


def test_no_calibration_batch_is_an_error(tmp_path: Path) -> None:
    source = tiny_graph(tmp_path / "tiny.onnx")
    with pytest.raises(QuantizeError, match="no calibration batch"):
        quantize_u8s8(source, tmp_path / "int8.onnx", [], exclude=[])


def test_an_unknown_node_is_an_error(tmp_path: Path) -> None:
    source = tiny_graph(tmp_path / "tiny.onnx")
    with pytest.raises(QuantizeError, match="no_such_node"):
        quantize_u8s8(source, tmp_path / "int8.onnx", batches(2), exclude=["no_such_node"])


def test_what_is_no_graph_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x00garbage")
    with pytest.raises(QuantizeError, match=r"broken\.onnx"):
        quantize_u8s8(broken, tmp_path / "int8.onnx", batches(2), exclude=[])
