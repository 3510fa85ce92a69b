"""What the library does in a contract test: enough to walk through builder and runner, never a computed result."""

import ctypes
from typing import Any

import numpy as np
import onnx
from double import Double
from numpy.typing import NDArray

ENGINE = b"engine bytes of a contract test"
SHAPES = {"picture": (1, 3, 8, 8), "scores": (1, 4)}


def make_builder_double(version: str, **given: Any) -> Double:
    """``given``: ``built`` (None: the build fails), ``parses``, ``timings_match``, ``asks_for_pictures``, ``dla``."""
    double = Double(version)

    def build(builder: Any, network: Any, config: Any) -> Any:
        attempt = sum(1 for name, _ in double.calls if name == "Builder.build_serialized_network")
        if "progress_monitor" in double.facts["IBuilderConfig"] and config.progress_monitor is not None:
            monitor = config.progress_monitor
            double.call_back(monitor, "phase_start", "Building", None, 2)
            going_on = double.call_back(monitor, "step_complete", "Building", 0)
            double.call_back(monitor, "phase_finish", "Building")
            if not going_on:
                return None
        if getattr(config, "int8_calibrator", None) is not None:
            calibrator = config.int8_calibrator
            assert double.call_back(calibrator, "get_batch_size") == 1
            given.setdefault("read", []).append(double.call_back(calibrator, "read_calibration_cache"))
            if given.get("asks_for_pictures"):
                assert not double.call_back(calibrator, "get_batch", ["picture"])
        logger = builder._arguments[0]
        if given.get("complaint"):
            double.call_back(logger, "log", double.module.ILogger.Severity.ERROR, given["complaint"])
        double.call_back(logger, "log", double.module.ILogger.Severity.INFO, "chatter")
        fails = attempt in given.get("failing_attempts", ())
        return None if fails else double.host_memory(given.get("built", ENGINE))

    def config_of(_builder: Any) -> Any:
        config = double.make("IBuilderConfig")
        double.set(config, "flags", 0)
        return config

    def error(_parser: Any, _index: int) -> Any:
        return double.make("ParserError")

    def parse(parser: Any, model: bytes) -> bool:
        if not given.get("parses", True):
            double.set(parser, "num_errors", 1)
            return False
        return bool(onnx.load_model_from_string(model))

    def builder_flags(config: Any, flag: Any) -> None:
        double.set(config, "flags", config.flags | 1 << int(flag))

    def set_timings(_config: Any, _cache: Any, _ignore_mismatch: bool) -> bool:
        asked = sum(1 for name, _ in double.calls if name == "IBuilderConfig.set_timing_cache")
        return bool(given.get("timings_match", True)) or asked > 1

    double.behaviours = {
        "Builder.build_serialized_network": build,
        "Builder.create_builder_config": config_of,
        "OnnxParser.parse": parse,
        "OnnxParser.get_error": error,
        "ParserError.desc": lambda _e: "unsupported operator",
        "IBuilderConfig.set_flag": builder_flags,
        "IBuilderConfig.get_tactic_sources": lambda _c: 31,
        "IBuilderConfig.set_timing_cache": set_timings,
        "ITimingCache.serialize": lambda _c: double.host_memory(b"timings"),
    }
    if "dla" in given:
        double.classes["Builder"].num_DLA_cores = property(lambda _b: given["dla"])
    return double


class HostBuffer:
    """Ordinary memory in place of mapped memory."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.host: NDArray[Any] = np.zeros(shape, np.float32)
        self.device = self.host.ctypes.data


class HostMemory:
    """Counts what is allocated; ``busy``: the stream never gets done."""

    stream = 7
    context = 11

    def __init__(self, busy: bool = False) -> None:
        self.allocated: list[tuple[int, ...]] = []
        self.busy = busy

    def attach(self) -> None:
        self.attached = True

    def allocate(self, shape: tuple[int, ...], dtype: type[np.generic]) -> HostBuffer:
        assert dtype is np.float32
        self.allocated.append(shape)
        return HostBuffer(shape)

    def synchronize(self, timeout_s: float) -> bool:
        assert timeout_s > 0
        return not self.busy


def make_runner_double(version: str, **given: Any) -> Double:
    """An engine with one input and one output; a run copies the sum of the input into the output.

    ``double``: one that has other behaviours already.
    """
    double: Double = given.get("double") or Double(version)
    trt = double.module
    names = given.get("names", ["picture", "scores"])
    addresses: dict[str, int] = {}

    def load(_runtime: Any, engine: bytes) -> Any:
        if engine != ENGINE:
            logger = _runtime._arguments[0]
            double.call_back(logger, "log", trt.ILogger.Severity.ERROR, "Magic tag does not match")
            return None
        loaded = double.make("ICudaEngine")
        double.set(loaded, "num_io_tensors", len(names))
        return loaded

    def dims(_engine: Any, name: str) -> Any:
        return trt.Dims(list(given.get("shapes", SHAPES)[name]))

    def execute(_context: Any, stream: int) -> bool:
        if given.get("fails"):
            return False
        assert stream == HostMemory.stream
        source, target = (SHAPES[name] for name in ("picture", "scores"))
        size = int(np.prod(source))
        picture = (ctypes.c_float * size).from_address(addresses["picture"])
        scores = (ctypes.c_float * int(np.prod(target))).from_address(addresses["scores"])
        scores[0] = sum(picture)
        return True

    def remember(_context: Any, name: str, address: int) -> bool:
        addresses[name] = address
        return not given.get("refuses_address")

    double.behaviours |= {
        "Runtime.deserialize_cuda_engine": load,
        "ICudaEngine.create_execution_context": lambda e, *_: (
            None if given.get("no_context") else double.make("IExecutionContext")
        ),
        "ICudaEngine.get_tensor_name": lambda _e, index: names[index],
        "ICudaEngine.get_tensor_mode": lambda _e, name: (
            trt.TensorIOMode.INPUT if name == "picture" else trt.TensorIOMode.OUTPUT
        ),
        "ICudaEngine.get_tensor_shape": dims,
        "ICudaEngine.get_tensor_dtype": lambda _e, _n: given.get("dtype") or trt.DataType.FLOAT,
        "Dims.__len__": lambda d: len(d._arguments[0]),
        "Dims.__getitem__": lambda d, index: d._arguments[0][index],
        "IExecutionContext.execute_async_v3": execute,
        "IExecutionContext.set_tensor_address": remember,
        "EngineInspector.get_engine_information": lambda _i, form: (
            given.get("information", "{}") if form is trt.LayerInformationFormat.JSON else ""
        ),
    }
    return double
