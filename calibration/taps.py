"""What a finished backbone knows about a picture: its feature maps, pooled, without touching a weight.

The graph stays as it was built. At every resolution the last feature map is tapped (mean, peak, spread), the scores'
softmax is opened, and a new linear head can take the place of the old one.
"""

import itertools
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.onnx_model import ONNXModel

from calibration.errors import CalibrationError
from edge import _core
from engines.graph import IR_VERSION, input_shape, producers
from engines.manifest import EngineManifest

Floats = NDArray[np.float32]
STAGES = 4
"""Resolutions that are tapped, the coarsest ones."""
_SPREAD_FLOOR = 1e-6
_TAPS = "taps"


@dataclass(frozen=True)
class Head:
    """scores = softmax(weights · [clip((taps − mean) / spread, ±clip); old logits] + bias)."""

    mean: Floats
    spread: Floats
    weights: Floats
    """(classes, taps + old classes)."""
    bias: Floats
    clip: float = 8.0


@dataclass(frozen=True)
class Backbone:
    """A classifier's graph and where its features are."""

    manifest: EngineManifest
    model: onnx.ModelProto
    stages: tuple[tuple[str, int], ...]
    """(tensor, channels) of the tapped maps, finest first."""
    logits: str

    @property
    def taps(self) -> int:
        """Numbers per picture: three for each channel."""
        return 3 * sum(channels for _, channels in self.stages)

    @cached_property
    def _prefix(self) -> str:
        """Of new names: an engine may be taught again and again."""
        used = {name for node in self.model.graph.node for name in node.output}
        return next(p for n in itertools.count() if (p := f"taught{n}_") + "logits" not in used)

    def _pooled(self) -> tuple[list[onnx.NodeProto], str]:
        """What is missing to have the taps: nothing in an engine that was taught before."""
        there = any(_TAPS in node.output for node in self.model.graph.node)
        return ([], _TAPS) if there else _pool(self.stages, self._prefix)

    @cached_property
    def tapped(self) -> onnx.ModelProto:
        """The graph with the outputs ``taps`` (1, taps) and ``logits`` (1, old classes)."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        nodes, pooled = self._pooled()
        model.graph.node.extend(nodes)
        model.graph.node.append(
            helper.make_node("Identity", [self.logits], ["logits"], name=self._prefix + "logits")
        )
        del model.graph.output[:]
        shapes = {pooled: self.taps, "logits": len(self.manifest.classes)}
        model.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in shapes.items()
        )
        return _only_needed(model)

    def with_head(self, head: Head) -> onnx.ModelProto:
        """The same backbone with another head; the output is called ``scores``."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for node in model.graph.node:  # the old scores give their name away
            for index, name in enumerate(node.output):
                if name == self.model.graph.output[0].name:
                    node.output[index] = self._prefix + "old_scores"
        nodes, pooled = self._pooled()
        constants = {
            "mean": head.mean[None],
            "spread": head.spread[None],
            "low": np.float32(-head.clip),
            "high": np.float32(head.clip),
            "weights": head.weights,
            "bias": head.bias,
        }
        n = {key: self._prefix + key for key in constants}
        model.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value, np.float32), n[key]) for key, value in constants.items()
        )
        steps = (
            ("Sub", [pooled, n["mean"]], "centred"),
            ("Div", [self._prefix + "centred", n["spread"]], "even"),
            ("Clip", [self._prefix + "even", n["low"], n["high"]], "clipped"),
            ("Concat", [self._prefix + "clipped", self.logits], "all"),
            ("Gemm", [self._prefix + "all", n["weights"], n["bias"]], "logits"),
        )
        for kind, inputs, out in steps:
            extra = {"Concat": {"axis": 1}, "Gemm": {"transB": 1}}.get(kind, {})
            name = self._prefix + out
            nodes.append(helper.make_node(kind, inputs, [name], name=name, **extra))
        nodes.append(
            helper.make_node(
                "Softmax", [self._prefix + "logits"], ["scores"], name=self._prefix + "scores", axis=1
            )
        )
        model.graph.node.extend(nodes)
        del model.graph.output[:]
        model.graph.output.append(
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(head.bias)])
        )
        return _only_needed(model)


def open_backbone(manifest: EngineManifest) -> Backbone:
    """Finds the taps. Raises CalibrationError: a detector, no softmax at the end, already taught too often, no maps."""
    where = manifest.model_path
    if manifest.decoder is not None:
        raise CalibrationError(
            f"{where}: a detector; its boxes cannot learn a class on the device: name a classifier "
            "(--engine shipped:classifier), or train the detector on a workstation"
        )
    if manifest.precision.scheme == "tensorrt":
        raise CalibrationError(
            f"{where}: a built TensorRT engine; expected its ONNX: teach that, then 'edge engines build' the result"
        )
    model = onnx.load(where)
    makers = producers(model)
    end = makers.get(model.graph.output[0].name)
    if end is None or end.op_type != "Softmax":
        raise CalibrationError(
            f"{where}: ends with {end.op_type if end else 'nothing'}, expected Softmax: export the classifier with it"
        )
    stages = _stages(model)
    if not stages:
        raise CalibrationError(f"{where}: no feature maps found; expected a convolutional network")
    return Backbone(manifest, model, stages, end.input[0])


def _stages(model: onnx.ModelProto) -> tuple[tuple[str, int], ...]:
    """The last float map of each resolution, coarsest four; maps of one pixel are pooled already."""
    inferred = onnx.shape_inference.infer_shapes(model)
    maps = {}
    for item in inferred.graph.value_info:
        kind = item.type.tensor_type
        shape = tuple(dim.dim_value for dim in kind.shape.dim)
        if kind.elem_type == TensorProto.FLOAT and len(shape) == 4 and shape[0] == 1 < shape[2] * shape[3]:
            maps[item.name] = shape
    full = input_shape(model)[2:]
    last: dict[tuple[int, ...], tuple[str, int]] = {}
    for node in model.graph.node:
        for name in node.output:
            if name in maps and maps[name][2:] != full:
                size = maps[name][2:]
                last.pop(size, None)
                last[size] = (name, maps[name][1])
    ordered = sorted(last.items(), key=lambda item: -item[0][0] * item[0][1])
    return tuple(tap for _, tap in ordered[-STAGES:])


def _pool(stages: tuple[tuple[str, int], ...], prefix: str) -> tuple[list[onnx.NodeProto], str]:
    """Nodes that make (1, taps): mean, peak and standard deviation of every channel."""
    nodes: list[onnx.NodeProto] = []

    def add(kind: str, inputs: list[str], out: str, **extra: int) -> str:
        nodes.append(helper.make_node(kind, inputs, [out], name=out, **extra))
        return out

    floor = prefix + "floor"
    value = numpy_helper.from_array(np.array(_SPREAD_FLOOR, np.float32))
    nodes.append(helper.make_node("Constant", [], [floor], name=floor, value=value))
    pooled = []
    for index, (maps, _) in enumerate(stages):
        p = f"{prefix}{index}_"
        mean = add("GlobalAveragePool", [maps], p + "mean")
        peak = add("GlobalMaxPool", [maps], p + "peak")
        power = add("GlobalAveragePool", [add("Mul", [maps, maps], p + "square")], p + "power")
        left = add("Sub", [power, add("Mul", [mean, mean], p + "mean_square")], p + "variance")
        kept = add("Add", [add("Relu", [left], p + "positive"), floor], p + "floored")
        pooled += [mean, peak, add("Sqrt", [kept], p + "spread")]
    joined = add("Concat", pooled, prefix + "pooled", axis=1)
    return nodes, add("Flatten", [joined], _TAPS, axis=1)


def _only_needed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without nodes and weights that no output needs; each node behind those that it takes from."""
    makers = producers(model)
    wanted, needed = [item.name for item in model.graph.output], set[str]()
    while wanted:
        name = wanted.pop()
        if name and name not in needed:
            needed.add(name)
            if name in makers:
                wanted += makers[name].input
    nodes = [node for node in model.graph.node if needed & set(node.output)]
    weights = [item for item in model.graph.initializer if item.name in needed]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights)
    model.ir_version = IR_VERSION
    ONNXModel(model).topological_sort()
    onnx.checker.check_model(model)
    return model


def preprocess_of(manifest: EngineManifest, roi: tuple[int, int, int, int] | None = None) -> _core.Preprocess:
    """The runtime's own, as the engine wants it."""
    spec = manifest.input
    return _core.Preprocess(
        out_width=spec.width,
        out_height=spec.height,
        channels=spec.channels,
        mean=spec.mean,
        std=spec.std,
        resize=spec.resize,
        roi=roi,
    )


def session_of(model: onnx.ModelProto) -> Any:
    """ONNX Runtime on one thread, so that the line beside it keeps its processors."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("EDGE_TEACH_THREADS", "1"))
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )


class Extractor:
    """Runs a backbone on frames, through the runtime's own preprocess, on one thread."""

    def __init__(self, backbone: Backbone, roi: tuple[int, int, int, int] | None = None) -> None:
        self.preprocess = preprocess_of(backbone.manifest, roi)
        self._session = session_of(backbone.tapped)
        self._input = self._session.get_inputs()[0].name
        self.picture = np.zeros(self.preprocess.shape, np.float32)

    def look(
        self, pixels: NDArray[np.uint8], pixel_format: _core.PixelFormat
    ) -> tuple[Floats, Floats, _core.FrameStats]:
        """(taps, logits, statistics) of a frame (height, width[, 3])."""
        height, width = pixels.shape[:2]
        flat = np.ascontiguousarray(pixels).reshape(-1)
        stats = self.preprocess.into(flat, width, height, flat.size // height, pixel_format, self.picture)
        taps, logits = self._session.run(["taps", "logits"], {self._input: self.picture})
        return taps[0], logits[0], stats

    @property
    def sharpness(self) -> float:
        """Of the picture looked at last."""
        return float(_core.sharpness(self.preprocess, self.picture))


def engine_bytes(backbone: Backbone, head: Head) -> bytes:
    """The finished ONNX."""
    return bytes(backbone.with_head(head).SerializeToString(deterministic=True))


def backbone_sha256(path: Path) -> str:
    """Of the model file: features of one backbone are worth nothing to another."""
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
