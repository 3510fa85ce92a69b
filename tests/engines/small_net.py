"""A residual net of our own with random weights: conv, ReLU, shortcut, pooling, fully connected, softmax."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def small_net(shape=(1, 3, 16, 16), *, opset=17, dead=False, nan=False, classes=4):
    rng = np.random.default_rng(7)
    first = rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32)
    second = rng.normal(0, 0.2, (8, 8, 3, 3)).astype(np.float32)
    if dead:
        second[2] = 0
    if nan:
        second[0, 0, 0, 0] = np.nan
    weights = {
        "w1": first,
        "b1": rng.normal(0, 0.1, 8).astype(np.float32),
        "w2": second,
        "b2": np.zeros(8, np.float32),
        "wf": rng.normal(0, 0.5, (classes, 8)).astype(np.float32),
        "bf": np.zeros(classes, np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"], name="stem_relu"),
        node("Conv", ["r1", "w2", "b2"], ["c2"], name="block", pads=[1, 1, 1, 1]),
        node("Add", ["c2", "r1"], ["sum"], name="join"),
        node("Relu", ["sum"], ["r2"], name="join_relu"),
        node("GlobalAveragePool", ["r2"], ["pool"], name="pool"),
        node("Flatten", ["pool"], ["flat"], name="flat"),
        node("Gemm", ["flat", "wf", "bf"], ["logits"], name="fc", transB=1),
        node("Softmax", ["logits"], ["scores"], name="softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, classes))],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def pictures(count, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32) for _ in range(count)]


def save(model, path):
    onnx.save(model, path)
    return path
