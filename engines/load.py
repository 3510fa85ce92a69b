"""From the path of a manifest to a loaded engine. An entry of the engine store is verified first, by every process."""

from pathlib import Path

from engines.errors import BuildError
from engines.loaded import LoadedEngine, MakeDecoder
from engines.manifest import load_manifest
from engines.onnx_cpu import load_cpu_engine


def load_engine(path: Path, threads: int = 1, decoder: MakeDecoder | None = None) -> LoadedEngine:
    """``path``: a manifest, plain or in the engine store. ``threads`` are of the CPU, see ``load_cpu_engine``.

    Raises ManifestError, StoreError (no matching key or signature), DeviceError, BuildError, RunError.
    """
    from engines.store.folder import ENTRY, verify

    if not (path.parent / ENTRY).is_file():
        manifest = load_manifest(path)
        if manifest.precision.scheme == "tensorrt":
            raise BuildError(
                f"{path}: a TensorRT engine outside the engine store; it is machine code and is used only with a "
                "signature: build it into the store with 'edge engines build' and name it store:NAME"
            )
        return load_cpu_engine(manifest, threads, decoder)
    from engines.store.keys import KeyRing, key_folder

    entry = verify(path.parent, KeyRing(key_folder()))
    if entry.backend == "onnxruntime":
        return load_cpu_engine(load_manifest(path), threads, decoder)
    from engines.tensorrt.gpu import load_gpu_engine

    return load_gpu_engine(
        load_manifest(path), decoder, host_code=bool(entry.options.get("version_compatible", False))
    )
