"""What is written down about a built engine, and the key that its content has."""

import datetime
import hashlib
import json
import platform
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engines.errors import StoreError

Backend = Literal["onnxruntime", "tensorrt"]
_SHA = r"^[0-9a-f]{64}$"


class _Fact(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Target(_Fact):
    """Where the engine runs: software and device. All of it is part of the key."""

    backend: Backend
    version: str
    """Of TensorRT or ONNX Runtime."""
    machine: str
    """Processor architecture, such as ``aarch64``."""
    gpu: str = ""
    sm: str = ""
    driver: str = ""
    jetpack: str = ""


class Sources(_Fact):
    """SHA-256 of what the engine was made of; empty: there was none."""

    onnx: str = Field(pattern=_SHA)
    plan: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    scales: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")


class FileFact(_Fact):
    """One file of an entry."""

    sha256: str = Field(pattern=_SHA)
    size: int = Field(ge=1)


class Measured(_Fact):
    """On the device that built it, one picture at a time."""

    latency_p50_ms: float = Field(gt=0)
    latency_p99_ms: float = Field(gt=0)
    runs: int = Field(ge=1)
    golden_accuracy: float | None = Field(default=None, ge=0, le=1)
    golden_parts: int = Field(default=0, ge=0)
    golden_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")


class Draft(_Fact):
    """What is known of an engine before it is stored."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,60}$")
    role: Literal["gate", "classifier"]
    created: datetime.datetime
    target: Target
    sources: Sources
    options: dict[str, Any] = Field(default_factory=dict)
    measured: Measured
    notes: tuple[str, ...] = ()

    @property
    def backend(self) -> Backend:
        """What runs it."""
        return self.target.backend


class Entry(Draft):
    """``entry.json``: signed as a whole."""

    key: str = Field(pattern=_SHA)
    files: dict[str, FileFact] = Field(min_length=2)
    """``engine.yaml`` and the engine that it names, at least."""


def content_key(sources: Sources, target: Target, options: dict[str, Any]) -> str:
    """SHA-256 over everything that makes an engine this one."""
    parts = {"sources": sources.model_dump(), "target": target.model_dump(), "options": options}
    return sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode())


def sha256(content: bytes) -> str:
    """As hex."""
    return hashlib.sha256(content).hexdigest()


def file_fact(path: Path) -> FileFact:
    """Raises OSError."""
    content = path.read_bytes()
    return FileFact(sha256=sha256(content), size=len(content))


def this_machine(backend: Backend) -> Target:
    """What an engine must have been built for to run here. Raises DeviceError, BuildError: no GPU, no TensorRT."""
    if backend == "onnxruntime":
        import onnxruntime

        return Target(backend=backend, version=onnxruntime.__version__, machine=platform.machine())
    from engines.tensorrt.module import load_tensorrt

    trt, device = load_tensorrt()
    return Target(
        backend=backend,
        version=str(trt.__version__),
        machine=platform.machine(),
        gpu=device.name,
        sm=device.sm,
        driver=device.driver,
        jetpack=device.jetpack,
    )


def check_target(entry: Entry, here: Target, what: str) -> None:
    """Raises StoreError naming every difference."""
    built, found = entry.target.model_dump(), here.model_dump()
    differences = [
        f"{key}: built for '{built[key]}', here '{found[key]}'" for key in built if built[key] != found[key]
    ]
    if differences:
        raise StoreError(
            f"{what}: {'; '.join(differences)}; an engine runs only where it was built for: run 'edge engines build' "
            "(or 'edge engines store add') here"
        )
