"""The steps that need a driver: kernel, graphs launched without the GIL, TensorRT."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge import _core
from edge._core import CudaGraph, CudaRing, PixelFormat, Preprocess, Region
from edge.config import engine_path
from edge.inspection.gpu import GRAPH_TIMEOUT_NS, KERNEL, capture
from engines.cuda.preprocess import GpuPreprocess, kernel_into
from engines.loaded import LoadedEngine
from engines.manifest import load_manifest
from engines.parity import compare
from engines.tensorrt.builder import build
from engines.tensorrt.calibrator import has_calibrators
from engines.tensorrt.driver import Device
from engines.tensorrt.options import BuildOptions
from engines.tensorrt.runner import TensorRtEngine
from tools.gpu_proof.loop import in_the_loop
from tools.gpu_proof.outcome import BusyPython, Figure, NotHereError, percentiles_us
from tools.gpu_proof.prepare import FORMATS, FRAME, Artifact, frame, grey_preprocess

_LAUNCHES, _RUNS, _WARM_UP = 5000, 500, 50
_WHOLE, _BAYER = "int8, Q/DQ", PixelFormat.BAYER_RG8
_SLOTS, _SHARED = 3, "/dev/shm"  # noqa: S108  (a private folder in it)
OVERHEAD_US, INT8_GAIN, COSINE = 20.0, 2.1, 0.99


@dataclass(frozen=True)
class Gpu:
    """``memory``: ``engines.cuda.memory.PinnedMemory``; ``cuda``: ``pycuda.driver``."""

    device: Device
    cuda: Any
    memory: Any
    driver: str = "libcuda.so.1"

    def capture(self, enqueue: Callable[[], None]) -> CudaGraph:
        """Runs it once, then captures it."""
        enqueue()
        if not self.memory.synchronize(5.0):
            raise RuntimeError("the first run took longer than 5 s")
        graph = CudaGraph(
            context=self.memory.context,
            stream=self.memory.stream,
            timeout_ns=GRAPH_TIMEOUT_NS,
            library=self.driver,
        )
        capture(graph, enqueue)
        return graph


def open_gpu(device: Device) -> Gpu:
    """Raises DeviceError: no pycuda, no context."""
    from engines.cuda.memory import PinnedMemory, primary_context

    return Gpu(device, primary_context(), PinnedMemory())


def kernel(
    gpu: Gpu, pixel_format: PixelFormat, out: int, preprocess: Preprocess | None = None
) -> GpuPreprocess:
    """Ready for frames of ``FRAME``."""
    preprocess = preprocess or grey_preprocess()
    stride = FRAME[0] * FORMATS[pixel_format]
    tables = _core.cuda_tables(preprocess, *FRAME, stride, pixel_format)
    source = KERNEL.read_text()
    made = GpuPreprocess(gpu.cuda, gpu.memory, source, gpu.device.sm, shape=preprocess.shape, out=out)
    made.set_tables(tables)
    return made


def launches(gpu: Gpu) -> list[Figure]:
    """A graph of the smallest kernel, launched and waited for by native code; then beside a busy Python thread."""
    buffer = gpu.memory.allocate(grey_preprocess().shape, np.float32)
    graph = gpu.capture(kernel(gpu, PixelFormat.MONO8, buffer.device).enqueue_reset)
    graph.time_runs(_WARM_UP)
    quiet = percentiles_us(graph.time_runs(_LAUNCHES))
    with BusyPython() as busy:
        beside = percentiles_us(graph.time_runs(_LAUNCHES))
    p50, p99, most = quiet
    return [
        Figure("launch and wait, µs: p50, p99, max", f"{p50:.1f}, {p99:.1f}, {most:.1f}"),
        Figure("p99, µs", f"{p99:.1f}", f"≤ {OVERHEAD_US:g}", p99 <= OVERHEAD_US),
        Figure("beside a busy Python thread: p50, p99, max", "{:.1f}, {:.1f}, {:.1f}".format(*beside)),
        Figure("turns of the Python thread meanwhile", str(busy.turns), "> 1000", busy.turns > 1000),
    ]


def preprocess(gpu: Gpu) -> list[Figure]:
    """The kernel's pictures beside the native ones, and its time from a graph."""
    figures = []
    for pixel_format in FORMATS:
        native, pixels = np.empty(grey_preprocess().shape, np.float32), frame(pixel_format)
        said = grey_preprocess().into(pixels.reshape(-1), *FRAME, pixels.shape[1], pixel_format, native)
        shown = gpu.memory.allocate(pixels.shape, np.uint8)
        out = gpu.memory.allocate(native.shape, np.float32)
        shown.host[:] = pixels
        step = kernel(gpu, pixel_format, out.device)
        step.show(shown.device, pixels.shape[1])
        graph = gpu.capture(step.enqueue)
        graph.time_runs(_WARM_UP)
        out.host[:] = np.nan
        p50, p99, _ = percentiles_us(graph.time_runs(_RUNS))
        apart = float(np.abs(out.host - native).max()) * 255
        mean = abs(step.stats()[0] - said.mean)
        figures += [
            Figure(f"{pixel_format.name}: grey levels apart", f"{apart:.3f}", "≤ 1", apart <= 1),
            Figure(f"{pixel_format.name}: mean grey apart", f"{mean:.3f}", "≤ 1", mean <= 1),
            Figure(f"{pixel_format.name} {FRAME[0]}×{FRAME[1]}, µs: p50, p99", f"{p50:.1f}, {p99:.1f}"),
        ]
    return figures


def ring(gpu: Gpu) -> list[Figure]:
    """The kernel reads frames out of the slots of a line's ring, where a camera's driver puts them."""
    native, pixels = np.empty(grey_preprocess().shape, np.float32), frame(_BAYER)
    grey_preprocess().into(pixels.reshape(-1), *FRAME, pixels.shape[1], _BAYER, native)
    out = gpu.memory.allocate(native.shape, np.float32)
    step = kernel(gpu, _BAYER, out.device)
    apart = []
    with tempfile.TemporaryDirectory(dir=_SHARED) as folder:
        region = Region.create(f"{folder}/region", frame_slots=_SLOTS, slot_bytes=pixels.size)
        seen = CudaRing(region, context=gpu.memory.context, library=gpu.driver)
        graph = None
        for index in range(_SLOTS):
            slot = region.claim_slot()
            assert slot is not None and slot.pixels.ctypes.data == region.slot_address(index)
            slot.pixels[:] = pixels.reshape(-1)
            step.show(seen.device_address(index), pixels.shape[1])
            graph = graph or gpu.capture(step.enqueue)
            out.host[:] = np.nan
            times = graph.time_runs(_RUNS)
            apart.append(float(np.abs(out.host - native).max()) * 255)
            slot.pixels[:] = 0  # what the next slot shows is its own
    p50, p99, _ = percentiles_us(times)
    return [
        Figure(f"{_SLOTS} slots, grey levels apart", f"{max(apart):.3f}", "≤ 1", max(apart) <= 1),
        Figure(f"{_BAYER.name} {FRAME[0]}×{FRAME[1]} from its slot, µs: p50, p99", f"{p50:.1f}, {p99:.1f}"),
    ]


def torch_graph(gpu: Gpu) -> list[Figure]:
    """A torch model captured through our driver calls. Raises NotHereError: torch without CUDA."""
    try:
        import torch
    except ImportError as error:
        raise NotHereError(f"torch: {error}") from error
    if not torch.cuda.is_available():
        raise NotHereError(f"torch {torch.__version__} has no CUDA; install its CUDA build")
    net = torch.nn.Sequential(*(torch.nn.Conv2d(64, 64, 3, padding=1) for _ in range(8))).cuda().eval().half()
    stream = torch.cuda.ExternalStream(gpu.memory.stream)
    picture = torch.rand(1, 64, 56, 56, device="cuda", dtype=torch.half)
    kept = []

    def enqueue() -> None:
        with torch.cuda.stream(stream), torch.inference_mode():
            kept.append(net(picture))

    for _ in range(5):
        enqueue()
    graph = gpu.capture(enqueue)
    expected = kept[0].float().cpu()
    graph.time_runs(_WARM_UP)
    p50, p99, most = percentiles_us(graph.time_runs(_RUNS))
    apart = float((kept[-1].float().cpu() - expected).abs().max())
    return [
        Figure("eight 3×3 convolutions, µs: p50, p99, max", f"{p50:.1f}, {p99:.1f}, {most:.1f}"),
        Figure("graph beside torch, apart", f"{apart:.2g}", "≤ 0.01", apart <= 0.01),
    ]


@dataclass(frozen=True)
class Variant:
    """One way to build a model."""

    name: str
    model: bytes
    options: BuildOptions
    cache: bytes | None = None


def variants(trt: Any, artifact: Artifact) -> list[Variant]:
    """FP32 and FP16 for comparison, INT8 by Q/DQ, and by our cache where this release has calibrators."""

    def options(precision: Any) -> BuildOptions:
        return BuildOptions(precision=precision, own_kernels_only=True)

    found = [Variant("fp32", artifact.float_model, options("fp32"))]
    if hasattr(trt.BuilderFlag, "FP16"):
        found.append(Variant("fp16", artifact.float_model, options("fp16")))
    found.append(Variant(_WHOLE, artifact.qdq, options("plan")))
    if has_calibrators(trt):
        found.append(Variant("int8, cache", artifact.float_model, options("plan"), artifact.cache.encode()))
    return found


def tensorrt(gpu: Gpu, trt: Any, artifact: Artifact) -> list[Figure]:
    """Builds every variant, compares it with ONNX Runtime, and times it from a graph."""
    figures, p50s = [], dict[str, float]()
    for variant in variants(trt, artifact):
        built = build(trt, variant.model, variant.options, cache=variant.cache)
        engine = TensorRtEngine(trt, built.engine, gpu.memory)
        answers = []
        for picture in artifact.pictures:
            engine.input[:] = picture
            engine.run()
            answers.append(engine.output.ravel().copy())
        parity = compare(artifact.expected, np.stack(answers))
        graph = gpu.capture(engine.enqueue)
        graph.time_runs(_WARM_UP)
        p50, p99, most = percentiles_us(graph.time_runs(_RUNS))
        p50s[variant.name] = p50
        title = f"{artifact.name}, {variant.name}"
        target = ("≥ 0.99", parity.cosine >= COSINE) if artifact.trained else ("random weights", None)
        figures += [
            Figure(
                f"{title}: built by {built.route} in", f"{built.seconds:.0f} s, {len(built.engine) >> 10} KiB"
            ),
            Figure(f"{title}: cosine to ONNX Runtime", f"{parity.cosine:.5f}", *target),
            Figure(f"{title}, µs: p50, p99, max", f"{p50:.0f}, {p99:.0f}, {most:.0f}"),
            *(Figure(f"{title}: note", note) for note in built.notes),
        ]
        if variant.name == _WHOLE:
            figures += whole_path(gpu, engine, title)
            figures += in_the_line(gpu, engine, title)
    gain = p50s["fp32"] / p50s[_WHOLE]
    figures.append(
        Figure(
            f"{artifact.name}: INT8 faster than FP32", f"{gain:.2f} ×", f"≥ {INT8_GAIN}", gain >= INT8_GAIN
        )
    )
    return figures


def in_the_line(gpu: Gpu, engine: TensorRtEngine, title: str) -> list[Figure]:
    """The engine in the line's loop; none where its output is no scores of classes."""
    if engine.output.ndim != 2:
        return []
    _, channels, height, width = engine.input.shape
    like = load_manifest(engine_path("shipped:gate"))
    spec = like.input.model_copy(update={"width": width, "height": height, "channels": channels})
    manifest = like.model_copy(update={"name": title, "input": spec})
    kernel = kernel_into(engine.bindings[0], gpu.memory, gpu.cuda, gpu.device.sm)
    loaded = LoadedEngine(manifest, engine.input, engine.output, engine.run, gpu=engine, kernel=kernel)
    return in_the_loop(loaded, f"{title}, in the loop")


def whole_path(gpu: Gpu, engine: TensorRtEngine, title: str) -> list[Figure]:
    """Frame in mapped memory → kernel → inference → scores in mapped memory, captured as one graph."""
    _, channels, height, width = engine.input.shape
    preprocess, pixels = Preprocess(out_width=width, out_height=height, channels=channels), frame(_BAYER)
    preprocess.into(pixels.reshape(-1), *FRAME, pixels.shape[1], _BAYER, engine.input)
    engine.run()
    expected = engine.output.reshape(1, -1).copy()
    shown = gpu.memory.allocate(pixels.shape, np.uint8)
    shown.host[:] = pixels
    step = kernel(gpu, _BAYER, engine.bindings[0].buffer.device, preprocess)
    step.show(shown.device, pixels.shape[1])

    def enqueue() -> None:
        step.enqueue()
        engine.enqueue()

    graph = gpu.capture(enqueue)
    graph.time_runs(_WARM_UP)
    engine.input[:] = engine.output[:] = 0
    p50, p99, most = percentiles_us(graph.time_runs(_RUNS))
    cosine = compare(expected, engine.output.reshape(1, -1)).cosine
    return [
        Figure(f"{title}, frame to scores, µs: p50, p99, max", f"{p50:.0f}, {p99:.0f}, {most:.0f}"),
        Figure(f"{title}, frame to scores: cosine", f"{cosine:.5f}", "≥ 0.999", cosine >= 0.999),
    ]
