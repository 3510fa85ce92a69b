"""An engine that is loaded, whatever runs it, as the loop and the tools use it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

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


MakeDecoder = Callable[[EngineManifest], Decoder]


class GpuQueue(Protocol):
    """What a CUDA graph captures."""

    output: NDArray[np.float32]
    """What the model itself says, before any decoding."""

    @property
    def context(self) -> int:
        """CUcontext as a number."""

    @property
    def stream(self) -> int:
        """CUstream as a number."""

    def enqueue(self) -> None:
        """Puts one inference into the stream."""


class FrameKernel(Protocol):
    """The preprocess on the GPU, into an engine's input; the real one is ``engines.cuda.preprocess``."""

    @property
    def frame(self) -> NDArray[np.uint64]:
        """Where it looks for its frame: device address, stride."""

    @property
    def counted(self) -> NDArray[np.uint64]:
        """Where it leaves the brightness."""

    def set_tables(self, tables: bytes) -> None:
        """``edge._core.cuda_tables`` of the frames to come."""

    def enqueue(self) -> None:
        """Puts it into the engine's stream."""


@dataclass(frozen=True)
class LoadedEngine:
    """A loaded model with fixed buffers: fill ``input``, call ``run``, read ``scores``.

    ``input`` is float32 (1, channels, height, width), ``scores`` float32 (1, classes); both are bound once, so a run
    copies and allocates nothing in Python. With a ``decoder`` a run ends with the decoding. ``gpu``: the engine runs
    on a GPU, and a native loop can capture it; ``kernel`` makes the preprocess before it, of its source in CUDA C.
    """

    manifest: EngineManifest
    input: NDArray[np.float32]
    scores: NDArray[np.float32]
    run: Callable[[], None]
    decoder: Decoder | None = None
    gpu: GpuQueue | None = None
    kernel: Callable[[str], FrameKernel] | None = None
    _keep_alive: tuple[Any, ...] = field(default=(), repr=False)
