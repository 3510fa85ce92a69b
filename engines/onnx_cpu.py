"""ONNX Runtime on the CPU: the engine of development, demo and CI."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.errors import ManifestError
from engines.manifest import EngineManifest


class Decoder(Protocol):
    """Turns a detector's raw output into scores of the classes; the native one is ``edge._core.BoxScores``."""

    @property
    def shape(self) -> tuple[int, int]:
        """Locations and numbers per location that it expects."""

    @property
    def scores(self) -> NDArray[np.float32]:
        """(1, classes), the same memory for ever."""

    def decode(self, raw: NDArray[np.float32]) -> bool:
        """Fills ``scores``; False, and NaN in all of them: the output cannot be a detector's."""


@dataclass(frozen=True)
class CpuEngine:
    """A loaded model with fixed buffers: fill ``input``, call ``run``, read ``scores``.

    ``input`` is float32 (1, channels, height, width), ``scores`` float32 (1, classes); both are bound once, so a run
    copies and allocates nothing in Python. With a ``decoder`` a run ends with the decoding.
    """

    manifest: EngineManifest
    input: NDArray[np.float32]
    scores: NDArray[np.float32]
    run: Callable[[], None]
    decoder: Decoder | None = None
    _keep_alive: tuple[Any, ...] = field(repr=False, default=())


def load_cpu_engine(
    manifest: EngineManifest, threads: int = 1, decoder: Callable[[EngineManifest], Decoder] | None = None
) -> CpuEngine:
    """Loads the model of a manifest.

    ``decoder`` makes what a manifest with a ``decoder`` needs; without it ``scores`` is the raw output (1, N, numbers).

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
    decoding = decoder(manifest) if decoder is not None and manifest.decoder is not None else None
    out_shape = _out_shape(manifest, session, decoding)
    _expect(manifest, "input", session.get_inputs(), in_shape)
    _expect(manifest, "output", session.get_outputs(), out_shape)

    image = np.zeros(in_shape, np.float32)
    scores = np.zeros(out_shape, np.float32)
    binding = session.io_binding()
    binding.bind_input(session.get_inputs()[0].name, "cpu", 0, np.float32, in_shape, image.ctypes.data)
    binding.bind_output(session.get_outputs()[0].name, "cpu", 0, np.float32, out_shape, scores.ctypes.data)

    def run() -> None:
        session.run_with_iobinding(binding)

    if decoding is None:
        return CpuEngine(manifest, image, scores, run, None, (session, binding))
    decode = decoding.decode

    def run_and_decode() -> None:
        session.run_with_iobinding(binding)
        decode(scores)

    return CpuEngine(manifest, image, decoding.scores, run_and_decode, decoding, (session, binding, scores))


def _out_shape(manifest: EngineManifest, session: Any, decoder: Decoder | None) -> tuple[int, ...]:
    if decoder is not None:
        return (1, *decoder.shape)
    if manifest.decoder is None:
        return (1, len(manifest.classes))
    return tuple(session.get_outputs()[0].shape)


def _expect(manifest: EngineManifest, what: str, nodes: list[Any], shape: tuple[int, ...]) -> None:
    found = [(tuple(node.shape), node.type) for node in nodes]
    if found != [(shape, "tensor(float)")]:
        raise ManifestError(
            f"{manifest.model_path}: {what}: found {found}, the manifest expects one float32 tensor of shape {shape}; "
            "mend 'input', 'classes' or 'decoder' in the manifest, or export the model with batch size 1"
        )
