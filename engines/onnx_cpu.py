"""ONNX Runtime on the CPU: the engine of development, demo and CI."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import ManifestError
from engines.manifest import EngineManifest


@dataclass(frozen=True)
class CpuEngine:
    """A loaded model with fixed buffers: fill ``input``, call ``run``, read ``scores``.

    ``input`` is float32 (1, channels, height, width), ``scores`` float32 (1, classes); both are bound once, so a run
    copies and allocates nothing in Python.
    """

    manifest: EngineManifest
    input: NDArray[np.float32]
    scores: NDArray[np.float32]
    run: Callable[[], None]
    _keep_alive: tuple[Any, ...] = field(repr=False, default=())


def load_cpu_engine(manifest: EngineManifest, threads: int = 1) -> CpuEngine:
    """Loads the model of a manifest.

    One thread runs the model on the caller's own thread: no pool, no hand-over, so that the loop's priority and CPU
    hold for the inference too. More threads spin beside it. Raises ManifestError: truncated or foreign model, or an
    input or output that differs from the manifest.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(
            str(manifest.model_path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise ManifestError(
            f"{manifest.model_path}: ONNX Runtime cannot load it ({str(error).splitlines()[0]}); "
            f"expected an ONNX model; make it again with: {manifest.trained.command}"
        ) from error
    spec = manifest.input
    in_shape = (1, spec.channels, spec.height, spec.width)
    out_shape = (1, len(manifest.classes))
    _expect(manifest, "input", session.get_inputs(), in_shape)
    _expect(manifest, "output", session.get_outputs(), out_shape)

    image = np.zeros(in_shape, np.float32)
    scores = np.zeros(out_shape, np.float32)
    binding = session.io_binding()
    binding.bind_input(session.get_inputs()[0].name, "cpu", 0, np.float32, in_shape, image.ctypes.data)
    binding.bind_output(session.get_outputs()[0].name, "cpu", 0, np.float32, out_shape, scores.ctypes.data)

    def run() -> None:
        session.run_with_iobinding(binding)

    return CpuEngine(manifest, image, scores, run, (session, binding))


def _expect(manifest: EngineManifest, what: str, nodes: list[Any], shape: tuple[int, ...]) -> None:
    found = [(tuple(node.shape), node.type) for node in nodes]
    if found != [(shape, "tensor(float)")]:
        raise ManifestError(
            f"{manifest.model_path}: {what}: found {found}, the manifest expects one float32 tensor of shape {shape}; "
            "mend 'input' or 'classes' in the manifest, or export the model with batch size 1"
        )
