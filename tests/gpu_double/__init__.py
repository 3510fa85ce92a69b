"""A GPU for tests: NVIDIA's driver as far as the native loop calls it, and pycuda's face. Kernels run on the CPU.

What it shows is that the calls reach the driver in the right order with the right addresses, never that a GPU does what
they say.
"""

import atexit
import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import _core
from edge._core import PixelFormat


class Buffer:
    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.host = np.zeros(shape, dtype)
        self.device = self.host.ctypes.data


class Memory:
    """Ordinary memory; ``handle`` is what kernels must be given as their stream."""

    context, stream, handle = 11, 7, object()

    def __init__(self) -> None:
        self.reserved: list[np.ndarray] = []

    def attach(self) -> None:
        """Nothing to do."""

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> Buffer:
        return Buffer(shape, dtype)

    def reserve(self, size: int) -> int:
        self.reserved.append(np.full(size, 0xAB, np.uint8))
        return int(self.reserved[-1].ctypes.data)

    def write(self, address: int, content: bytes) -> None:
        ctypes.memmove(address, content, len(content))

    def synchronize(self, timeout_s: float) -> bool:
        return True


class Cuda:
    """``pycuda.driver``: a kernel runs when it is called and, if it was captured, at every launch of its graph.

    ``frame``: width and height of the frames that the kernel is shown; ``preprocess``: what its tables were made from.
    """

    Error = RuntimeError

    def __init__(
        self, library: Path, frame: tuple[int, int], preprocess: _core.Preprocess | None = None
    ) -> None:
        self.frame, self.preprocess = frame, preprocess
        self._captured: list[Callable[[], object]] | None = None
        self._graphs: list[list[Callable[[], object]]] = []
        self.fails = False
        self.pictures = 0
        """Made by the kernel."""
        driver = ctypes.CDLL(str(library))
        self._callbacks = [ctypes.CFUNCTYPE(None)(self._begin), ctypes.CFUNCTYPE(ctypes.c_int)(self._end)]
        self._callbacks.append(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(self._launch))
        for name, callback in zip(("on_begin", "on_end", "on_launch"), self._callbacks, strict=True):
            ctypes.c_void_p.in_dll(driver, name).value = ctypes.cast(callback, ctypes.c_void_p).value

    def _begin(self) -> None:
        self._captured = []

    def _end(self) -> int:
        assert self._captured is not None
        self._graphs.append(self._captured)
        self._captured = None
        return len(self._graphs) - 1

    def _launch(self, graph: int) -> int:
        for kernel in self._graphs[graph]:
            kernel()
        return 999 if self.fails else 0

    def module_from_buffer(self, ptx: bytes) -> "Cuda":
        assert ptx == b"ptx for 8.7"
        return self

    def get_function(self, name: str) -> Callable[..., None]:
        kernels = {"edge_reset": self._reset, "edge_preprocess": self._preprocess}

        def call(*arguments: np.uint64, block: Any, grid: Any, stream: Any) -> None:
            assert stream is Memory.handle
            assert all(isinstance(argument, np.uint64) for argument in arguments)
            addresses = [int(argument) for argument in arguments]
            if name == "edge_preprocess":
                width, height = (ctypes.c_int * 2).from_address(addresses[0])
                assert (width, height) <= (grid[0] * block[0], grid[1] * block[1])
            if self._captured is not None:
                self._captured.append(lambda: kernels[name](*addresses))
            else:
                kernels[name](*addresses)

        return call

    def recording(self, execute: Callable[..., bool]) -> Callable[..., bool]:
        """TensorRT's inference in the same stream."""

        def call(*arguments: Any) -> bool:
            if self._captured is None:
                return execute(*arguments)
            self._captured.append(lambda: execute(*arguments))
            return True

        return call

    @staticmethod
    def _reset(stats: int) -> None:
        ctypes.memset(stats, 0, 16)

    def _preprocess(self, tables: int, frame: int, out: int, stats: int) -> None:
        width, height, channels, mosaic, samples = (ctypes.c_int * 5).from_address(tables)
        pixels, stride = (ctypes.c_uint64 * 2).from_address(frame)
        if not pixels or not width:
            return
        self.pictures += 1
        kinds = {(1, 1): PixelFormat.BAYER_RG8, (0, 1): PixelFormat.MONO8, (0, 3): PixelFormat.BGR8}
        shown = np.ctypeslib.as_array((ctypes.c_uint8 * (stride * self.frame[1])).from_address(pixels))
        made = np.ctypeslib.as_array((ctypes.c_float * (width * height * channels)).from_address(out))
        picture = made.reshape(1, channels, height, width)
        place = (*self.frame, stride, kinds[mosaic, samples])
        preprocess = self.preprocess or _core.Preprocess(out_width=width, out_height=height)
        said = _core.cuda_preprocess_on_cpu(preprocess, shown, *place, picture)
        count = width * height
        words = (ctypes.c_uint64 * 2).from_address(stats)
        words[0] = round(said.mean * 256 * count)
        words[1] = round(said.dark_share * count) | round(said.bright_share * count) << 32


@cache
def driver_double() -> Path:
    """The driver's double as a library, compiled with gcc once: the native core keeps the first that it loads."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to make the driver's double")
    library, source = Path(tempfile.mkdtemp()) / "libfake.so", Path(__file__).parent / "driver.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wall", "-Werror", source, "-o", library], check=True)
    atexit.register(shutil.rmtree, library.parent)
    return library
