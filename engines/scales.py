"""Ranges of activations: measured, as JSON, and as TensorRT's calibration cache."""

import json
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from engines.entropy import AbsHistogram, Method, choose_amax
from engines.errors import CalibrationError
from engines.graph import initializers, input_name, input_shape

_CACHE_LINE = re.compile(r"^(.+): ([0-9a-fA-F]{8})$")
_DEAD_AMAX = 1.0  # any range represents a tensor that is always zero


@dataclass(frozen=True)
class Range:
    """Extremes seen, and the |x| at which INT8 clips."""

    low: float
    high: float
    amax: float

    @property
    def scale(self) -> float:
        """Symmetric INT8: amax / 127."""
        return self.amax / 127


@dataclass(frozen=True)
class Scales:
    """One calibration of one graph."""

    method: str
    pictures: int
    ranges: dict[str, Range]
    dead: tuple[str, ...] = ()
    """Tensors that were zero on every picture."""

    def to_json(self) -> str:
        """Exact in float64."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str, where: str = "scales") -> "Scales":
        """Raises CalibrationError: not JSON, missing keys, a scale that is not positive and finite."""
        try:
            data = json.loads(text)
            ranges = {name: Range(**item) for name, item in data["ranges"].items()}
            scales = Scales(str(data["method"]), int(data["pictures"]), ranges, tuple(data["dead"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CalibrationError(f"{where}: not scales ({error}); run 'edge engines calibrate'") from error
        bad = [name for name, item in ranges.items() if not (np.isfinite(item.amax) and item.amax > 0)]
        if bad:
            raise CalibrationError(
                f"{where}: range of {bad[:3]} is not positive; run 'edge engines calibrate'"
            )
        return scales


@dataclass(frozen=True)
class Observed:
    """What a float graph's activations were on a calibration set; the same histograms serve all methods."""

    histograms: dict[str, AbsHistogram]
    pictures: int

    def scales(self, method: Method) -> Scales:
        """A range per activation."""
        dead = tuple(name for name, item in self.histograms.items() if item.low == item.high == 0)
        ranges = {
            name: Range(item.low, item.high, choose_amax(item, method) or _DEAD_AMAX)
            for name, item in self.histograms.items()
        }
        return Scales(method, self.pictures, ranges, dead)


def observe(
    model: onnx.ModelProto,
    batches: Iterable[NDArray[np.float32]],
    histogram: Callable[[], AbsHistogram],
    progress: Callable[[int], None] = lambda _count: None,
) -> Observed:
    """Runs every picture through the float graph once; histograms of the input and of every float activation.

    ``batches`` are float32 of the input's shape; ``histogram`` makes an empty one, such as
    ``edge._core.CalibrationHistogram``. Memory does not grow with the number of pictures.
    Raises CalibrationError: wrong shape, no pictures, NaN.
    """
    name, shape = input_name(model), input_shape(model)
    session, names = _observed(model)
    histograms = {tensor: histogram() for tensor in (name, *names)}
    count = 0
    for batch in batches:
        if batch.shape != shape or batch.dtype != np.float32:
            raise CalibrationError(
                f"calibration picture {count}: {batch.dtype} of shape {batch.shape}, the model takes float32 {shape}; "
                "resize the pictures with the preprocess of the line"
            )
        for tensor, values in zip((name, *names), (batch, *session.run(names, {name: batch})), strict=True):
            if not np.isfinite(values.sum()):
                _refuse_infinite(count, tensor, values)
            histograms[tensor].add(values)
        count += 1
        progress(count)
    if count == 0:
        raise CalibrationError("no calibration picture; expected at least one, better 500")
    return Observed(histograms, count)


def _refuse_infinite(count: int, tensor: str, values: NDArray[np.float32]) -> None:
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise CalibrationError(
            f"calibration picture {count}, tensor '{tensor}': {wrong} of {values.size} values are NaN or infinite; the "
            "picture or the model is damaged: look at the picture, or export a sound checkpoint"
        )


def cache_text(scales: Scales, version: str) -> str:
    """TensorRT's calibration cache; ``version`` is four or five digits, such as ``8502`` or ``100300``."""
    lines = [f"TRT-{version}-EntropyCalibration2"]
    lines += [
        f"{name}: {struct.pack('>f', item.scale).hex()}" for name, item in sorted(scales.ranges.items())
    ]
    return "\n".join(lines) + "\n"


def parse_cache(text: str, where: str = "cache") -> dict[str, float]:
    """Scale by tensor. Raises CalibrationError with the line that is wrong."""
    lines = text.splitlines()
    if not lines or not re.fullmatch(r"TRT-\d+-\w+", lines[0]):
        raise CalibrationError(
            f"{where}:1: found {lines[:1]}, expected 'TRT-<version>-EntropyCalibration2'; write the cache again"
        )
    scales = {}
    for number, line in enumerate(lines[1:], 2):
        match = _CACHE_LINE.match(line)
        if not match:
            raise CalibrationError(f"{where}:{number}: found {line!r}, expected 'tensor: 8 hex digits'")
        scales[match[1]] = float(struct.unpack(">f", bytes.fromhex(match[2]))[0])
    return scales


def _observed(model: onnx.ModelProto) -> tuple[ort.InferenceSession, list[str]]:
    """A session that also gives every float activation."""
    copy = onnx.ModelProto()
    copy.CopyFrom(onnx.shape_inference.infer_shapes(model))
    constant = initializers(copy)
    types = {item.name: item for item in (*copy.graph.value_info, *copy.graph.output)}
    made = [name for node in copy.graph.node for name in node.output if name and name not in constant]
    names = [
        name
        for name in made
        if name in types and types[name].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]
    given = {item.name for item in copy.graph.output}
    copy.graph.output.extend(types[name] for name in names if name not in given)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(copy.SerializeToString(), options, ["CPUExecutionProvider"]), names
