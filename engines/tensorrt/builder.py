"""ONNX → TensorRT engine, on 8.5 to 11. What the API offers is asked with ``hasattr``; no enum value is stored."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import onnx

from engines.errors import BuildError
from engines.tensorrt.calibrator import has_calibrators, make_calibrator
from engines.tensorrt.log import Messages, Progress, make_logger, make_monitor
from engines.tensorrt.options import BuildOptions

Route = Literal["typed", "flags", "calibrator"]
"""How a precision comes into the engine: the graph's own types, builder flags, or flags and a calibration cache."""


@dataclass(frozen=True)
class Built:
    """An engine as bytes, and how it came about."""

    engine: bytes
    route: Route
    notes: tuple[str, ...]
    """What did not go as first tried."""
    timing_cache: bytes
    layers: int
    seconds: float


@dataclass(frozen=True)
class GraphKind:
    """Which precisions a graph asks for by itself."""

    quantised: bool
    half: bool

    @staticmethod
    def of(model: bytes) -> "GraphKind":
        """Raises BuildError: not ONNX."""
        try:
            graph = onnx.load_model_from_string(model).graph
        except Exception as error:  # protobuf raises its own
            raise BuildError(f"not an ONNX model ({error}); make it with 'edge engines calibrate'") from error
        half = onnx.TensorProto.FLOAT16
        casts = (
            a.i for node in graph.node if node.op_type == "Cast" for a in node.attribute if a.name == "to"
        )
        return GraphKind(
            quantised=any(node.op_type == "QuantizeLinear" for node in graph.node),
            half=any(item.data_type == half for item in graph.initializer) or half in casts,
        )


def choose_route(trt: Any, kind: GraphKind, options: BuildOptions, with_cache: bool) -> Route:
    """Raises BuildError where the engine would silently be something else than what was asked for."""
    has_flags = hasattr(trt.BuilderFlag, "FP16") and hasattr(trt.BuilderFlag, "INT8")
    has_types = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    version = trt.__version__
    if with_cache:
        if not has_calibrators(trt):
            make_calibrator(trt, b"")
        if kind.quantised or options.precision != "plan":
            raise BuildError(
                "a calibration cache belongs to the float graph and precision 'plan'; found "
                f"{'a graph with Q/DQ nodes' if kind.quantised else options.precision!r}: leave the cache out"
            )
        return "calibrator"
    if options.precision == "plan":
        if kind.quantised or kind.half:
            return "typed" if has_types else "flags"
        raise BuildError(
            f"the graph has neither Q/DQ nodes nor FP16 types: TensorRT {version} would build FP32 and not say so; "
            "build the artifact of 'edge engines calibrate', or give --precision fp32"
        )
    if kind.quantised or kind.half:
        raise BuildError(
            f"precision {options.precision}: the graph has Q/DQ nodes or FP16 types; expected the float graph"
        )
    if options.precision == "fp16" and not has_flags:
        raise BuildError(
            f"precision fp16: TensorRT {version} has no FP16 flag; expected FP16 types in the graph: set "
            "'backbone: fp16' in the precision plan and build its artifact"
        )
    return "flags" if has_flags else "typed"


def build(
    trt: Any,
    model: bytes,
    options: BuildOptions,
    *,
    cache: bytes | None = None,
    timing_cache: bytes = b"",
    progress: Progress = lambda _phase, _share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Built:
    """Builds once; a strongly typed build that fails is tried again with flags, where there are flags, and noted.

    ``model`` is ONNX with a fixed batch of 1; ``cache`` a calibration cache for its float graph (TensorRT ≤ 10).
    Raises BuildError with TensorRT's own last words.
    """
    began = time.monotonic()
    route = choose_route(trt, GraphKind.of(model), options, cache is not None)
    attempt = _Attempt(trt, model, options, cache, timing_cache, progress, cancelled)
    try:
        built = attempt.run(route)
    except BuildError as error:
        if route != "typed" or not hasattr(trt.BuilderFlag, "INT8") or cancelled():
            raise
        again = attempt.run("flags")
        note = f"strongly typed build failed ({error}); built with the flags FP16 and INT8 instead"
        built = Built(again.engine, again.route, (note, *again.notes), again.timing_cache, again.layers, 0.0)
    seconds = time.monotonic() - began
    return Built(built.engine, built.route, built.notes, built.timing_cache, built.layers, seconds)


@dataclass(frozen=True)
class _Attempt:
    trt: Any
    model: bytes
    options: BuildOptions
    cache: bytes | None
    timing_cache: bytes
    progress: Progress
    cancelled: Callable[[], bool]

    def run(self, route: Route) -> Built:
        trt, messages, notes = self.trt, Messages(), list[str]()
        logger = make_logger(trt, messages)
        builder = trt.Builder(logger)
        network = builder.create_network(self._network_flags(route))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(self.model):
            raise BuildError(f"TensorRT {trt.__version__} cannot read the graph: {_parser_errors(parser)}")
        config = builder.create_builder_config()
        self._configure(builder, config, notes)
        calibrator = self._set_precision(config, route)
        if (monitor := make_monitor(trt, self.progress, self.cancelled)) is not None:
            config.progress_monitor = monitor
        serialized = builder.build_serialized_network(network, config)
        if serialized is None:
            raise BuildError(self._why(messages))
        if calibrator is not None and calibrator.rejected:
            raise BuildError(
                f"TensorRT {trt.__version__} did not take the calibration cache and asked for pictures; its tensors "
                "are not this graph's: run 'edge engines calibrate' on the same model"
            )
        return Built(
            bytes(memoryview(serialized)), route, tuple(notes), self._timings(config), network.num_layers, 0.0
        )

    def _network_flags(self, route: Route) -> int:
        flag = self.trt.NetworkDefinitionCreationFlag
        if not hasattr(self.trt.BuilderFlag, "INT8"):
            return 0  # strongly typed is all there is
        if route == "typed":
            return 1 << int(flag.STRONGLY_TYPED)
        return 1 << int(flag.EXPLICIT_BATCH) if hasattr(flag, "EXPLICIT_BATCH") else 0

    def _configure(self, builder: Any, config: Any, notes: list[str]) -> None:
        trt, options = self.trt, self.options
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
        config.profiling_verbosity = (
            trt.ProfilingVerbosity.DETAILED
        )  # 'edge engines inspect' reads what was chosen
        if options.optimization_level is not None:
            self._need(config, "builder_optimization_level", "--optimization-level", "8.6")
            config.builder_optimization_level = options.optimization_level
        if options.hardware_compatible:
            self._need(config, "hardware_compatibility_level", "--hardware-compatible", "8.6")
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        if options.version_compatible:
            self._need(trt.BuilderFlag, "VERSION_COMPATIBLE", "--version-compatible", "8.6")
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if options.own_kernels_only:
            mask = config.get_tactic_sources()
            for name in ("CUBLAS", "CUBLAS_LT", "CUDNN"):
                if hasattr(trt.TacticSource, name):
                    mask &= ~(1 << int(getattr(trt.TacticSource, name)))
            config.set_tactic_sources(mask)
        if options.dla_core is not None:
            self._use_dla(builder, config, options.dla_core)
        self._use_timings(config, notes)

    def _need(self, owner: Any, name: str, option: str, since: str) -> None:
        if not hasattr(owner, name):
            raise BuildError(
                f"{option}: TensorRT {self.trt.__version__} cannot; expected {since} or newer: leave it out"
            )

    def _use_dla(self, builder: Any, config: Any, core: int) -> None:
        if core >= builder.num_DLA_cores:
            raise BuildError(
                f"--dla-core {core}: this device has {builder.num_DLA_cores} deep-learning accelerators; leave it out"
            )
        config.default_device_type = self.trt.DeviceType.DLA
        config.DLA_core = core
        config.set_flag(self.trt.BuilderFlag.GPU_FALLBACK)

    def _use_timings(self, config: Any, notes: list[str]) -> None:
        if not config.set_timing_cache(config.create_timing_cache(self.timing_cache), False):
            notes.append("the timing cache is of another device or TensorRT and was not used")
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def _set_precision(self, config: Any, route: Route) -> Any | None:
        trt = self.trt
        if route == "typed" or self.options.precision == "fp32":
            return None
        config.set_flag(trt.BuilderFlag.FP16)
        if self.options.precision == "fp16":
            return None
        config.set_flag(trt.BuilderFlag.INT8)
        if route == "flags":
            return None
        assert self.cache is not None
        calibrator = make_calibrator(trt, self.cache)
        config.int8_calibrator = calibrator
        return calibrator

    @staticmethod
    def _timings(config: Any) -> bytes:
        cache = config.get_timing_cache()
        return b"" if cache is None else bytes(memoryview(cache.serialize()))

    def _why(self, messages: Messages) -> str:
        if self.cancelled():
            return "the build was stopped; the engine that serves is untouched"
        if messages.out_of_memory:
            return (
                f"out of GPU memory: {messages.last_error}; give a smaller --workspace-mib than "
                f"{self.options.workspace_mib}, or stop what else uses the GPU"
            )
        return (
            f"TensorRT {self.trt.__version__} built nothing: {messages.last_error}; "
            "'edge engines plan' can keep the layer that it names at fp16"
        )


def _parser_errors(parser: Any) -> str:
    found = [parser.get_error(index) for index in range(parser.num_errors)]
    return "; ".join(f"node {error.node()}: {error.desc()}" for error in found[:3]) or "no reason given"
