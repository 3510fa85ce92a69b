"""A TensorRT engine behind the same face as one of ONNX Runtime."""

from dataclasses import replace

import numpy as np

from engines.errors import ManifestError
from engines.loaded import LoadedEngine, MakeDecoder
from engines.manifest import EngineManifest
from engines.tensorrt.module import load_tensorrt
from engines.tensorrt.runner import TensorRtEngine


def load_gpu_engine(
    manifest: EngineManifest, decoder: MakeDecoder | None = None, *, host_code: bool = False
) -> LoadedEngine:
    """Loads and binds it on the first GPU; the caller has verified the file.

    Raises DeviceError, BuildError, RunError; ManifestError: its shapes are not the manifest's.
    """
    trt, device = load_tensorrt()
    from engines.cuda.memory import PinnedMemory, primary_context
    from engines.cuda.preprocess import kernel_into

    memory = PinnedMemory()
    engine = TensorRtEngine(trt, manifest.model_path.read_bytes(), memory, host_code=host_code)
    kernel = kernel_into(engine.bindings[0], memory, primary_context(), device.sm)
    return replace(wrap(manifest, engine, decoder), kernel=kernel)


def wrap(manifest: EngineManifest, engine: TensorRtEngine, decoder: MakeDecoder | None) -> LoadedEngine:
    """Checks the shapes and puts the decoder behind the run."""
    spec = manifest.input
    decoding = decoder(manifest) if decoder is not None and manifest.decoder is not None else None
    out_shape = (1, *decoding.shape) if decoding else (1, len(manifest.classes))
    _expect(manifest, "input", engine.input.shape, (1, spec.channels, spec.height, spec.width))
    if decoding is not None or manifest.decoder is None:
        _expect(manifest, "output", engine.output.shape, out_shape)
    if decoding is None:
        return LoadedEngine(manifest, engine.input, engine.output, engine.run, gpu=engine)
    decode, raw = decoding.decode, np.asarray(engine.output)

    def run_and_decode() -> None:
        engine.run()
        decode(raw)

    return LoadedEngine(manifest, engine.input, decoding.scores, run_and_decode, decoding, engine)


def _expect(manifest: EngineManifest, what: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise ManifestError(
            f"{manifest.model_path}: {what} of shape {found}, the manifest expects {wanted}; mend 'input', 'classes' "
            "or 'decoder' in the manifest, or build the engine from the right graph"
        )
