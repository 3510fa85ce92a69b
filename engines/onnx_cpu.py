"""ONNX Runtime on the CPU: the engine of development, demo and CI."""

from typing import Any

import numpy as np

from engines.errors import ManifestError
from engines.loaded import Decoder, LoadedEngine, MakeDecoder
from engines.manifest import EngineManifest


def load_cpu_engine(
    manifest: EngineManifest, threads: int = 1, decoder: MakeDecoder | None = None
) -> LoadedEngine:
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
        return LoadedEngine(manifest, image, scores, run, _keep_alive=(session, binding))
    decode = decoding.decode

    def run_and_decode() -> None:
        session.run_with_iobinding(binding)
        decode(scores)

    keep = (session, binding, scores)
    return LoadedEngine(manifest, image, decoding.scores, run_and_decode, decoding, _keep_alive=keep)


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
