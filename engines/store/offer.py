"""Putting an engine into the store: built here, measured here, signed here."""

import datetime
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.errors import BuildError, ManifestError
from engines.golden import GoldenSet
from engines.loaded import LoadedEngine, MakeDecoder
from engines.manifest import EngineManifest, PrecisionSpec, load_manifest, manifest_yaml
from engines.onnx_cpu import load_cpu_engine
from engines.store.entry import Draft, Measured, Sources, Target, content_key, sha256, this_machine
from engines.store.folder import MANIFEST, EngineStore, Stored
from engines.timing import times_ms

if TYPE_CHECKING:
    from engines.tensorrt.layers import HeadPrecision

Say = Callable[[str, float], None]


@dataclass(frozen=True)
class Offer:
    """What is known about an engine besides its file."""

    manifest: Path
    golden: GoldenSet | None = None
    plan: Path | None = None
    scales: Path | None = None
    runs: int = 300
    decoder: MakeDecoder | None = None
    """Without one the golden set of a detector is not asked."""


@dataclass(frozen=True)
class Recipe:
    """The ONNX that is built, the options that belong to its key, and what gives the engine and its notes."""

    artifact: bytes
    options: dict[str, Any]
    build: Callable[[], tuple[bytes, tuple[str, ...]]]


def offer_onnx(store: EngineStore, offer: Offer, say: Say = lambda _phase, _share: None) -> Stored:
    """Adds an ONNX Runtime engine as it is. Raises ManifestError, StoreError, CalibrationError."""
    manifest = load_manifest(offer.manifest)
    model = manifest.model_path.read_bytes()
    sources = _sources(offer, model)
    target, options = this_machine("onnxruntime"), dict[str, Any]()
    signer = store.keys.signer()
    with store.building(content_key(sources, target, options)):
        engine = load_cpu_engine(manifest, 1, offer.decoder)
        draft = _draft(manifest, sources, target, options, measure(engine, offer, say))
        return store.add(draft, {MANIFEST: manifest_yaml(manifest).encode(), manifest.file: model}, signer)


def offer_tensorrt(
    store: EngineStore,
    offer: Offer,
    recipe: Recipe,
    say: Say = lambda _phase, _share: None,
) -> Stored:
    """Builds under the lock of its key, loads what came out, measures and signs it; what is active goes on serving.

    Raises StoreError, BuildError, RunError, DeviceError, ManifestError.
    """
    from engines.tensorrt.gpu import load_gpu_engine

    model = load_manifest(offer.manifest)
    sources, target = _sources(offer, recipe.artifact), this_machine("tensorrt")
    signer = store.keys.signer()
    with store.building(content_key(sources, target, recipe.options)):
        engine, notes = recipe.build()
        manifest = model.model_copy(
            update={
                "file": "model.engine",
                "sha256": sha256(engine),
                "precision": PrecisionSpec(scheme="tensorrt", head="unknown"),
            }
        )
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / manifest.file).write_bytes(engine)
            placed = manifest.model_copy(update={"folder": Path(folder)})
            host_code = bool(recipe.options.get("version_compatible", False))
            loaded = load_gpu_engine(placed, offer.decoder, host_code=host_code)
            measured = measure(loaded, offer, say)
        chosen = PrecisionSpec(scheme="tensorrt", head=head_of(loaded, recipe.artifact))
        manifest = manifest.model_copy(update={"precision": chosen})
        draft = _draft(manifest, sources, target, recipe.options, measured).model_copy(
            update={"notes": notes}
        )
        return store.add(draft, {MANIFEST: manifest_yaml(manifest).encode(), manifest.file: engine}, signer)


def head_of(engine: LoadedEngine, artifact: bytes) -> "HeadPrecision":
    """As the built engine says, whatever was asked for."""
    import onnx

    from engines.precision import head_weights
    from engines.tensorrt.layers import head_precision, read_layers

    information = getattr(engine.gpu, "information", None)
    try:
        layers = read_layers(information()) if information else ()
    except BuildError:
        return "unknown"
    return head_precision(layers, head_weights(onnx.load_model_from_string(artifact)))


def measure(engine: LoadedEngine, offer: Offer, say: Say) -> Measured:
    """Latency of single pictures, and the golden set."""
    times = times_ms(engine.input, engine.run, offer.runs, lambda share: say("measure latency", share))
    p50, p99 = np.percentile(times, [50, 99])
    golden = offer.golden
    if golden is None:
        return Measured(latency_p50_ms=p50, latency_p99_ms=p99, runs=offer.runs)
    if engine.manifest.decoder is not None and engine.decoder is None:
        raise ManifestError(
            f"{offer.manifest}: a detector; its golden set cannot be asked without its decoder"
        )
    say("golden set", 0.0)
    return Measured(
        latency_p50_ms=p50,
        latency_p99_ms=p99,
        runs=offer.runs,
        golden_accuracy=golden.accuracy(engine),
        golden_parts=len(golden.labels),
        golden_sha256=golden.sha256,
    )


def _draft(
    manifest: EngineManifest, sources: Sources, target: Target, options: dict[str, Any], measured: Measured
) -> Draft:
    return Draft(
        name=manifest.name,
        role=manifest.role,
        created=datetime.datetime.now(datetime.timezone.utc),
        target=target,
        sources=sources,
        options=options,
        measured=measured,
    )


def _sources(offer: Offer, model: bytes) -> Sources:
    plan, scales = (sha256(path.read_bytes()) if path else "" for path in (offer.plan, offer.scales))
    return Sources(onnx=sha256(model), plan=plan, scales=scales)
