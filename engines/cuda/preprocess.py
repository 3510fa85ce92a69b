"""The preprocess kernel on the GPU: compiled for the device, told its tables, each frame found by its address."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.cuda.compile import compile_ptx
from engines.errors import DeviceError, RunError
from engines.tensorrt.runner import Binding, Buffer

_Size = tuple[int, int, int]
_BLOCK: _Size = (16, 16, 1)
_LOW = 0xFFFFFFFF
_NO_PLAN = 128
"""Bytes of a ``struct EdgePlan`` and more: zeros are an output of no pixels, so nothing is read or written."""
_TABLE_BYTES = 2 << 20
"""More than the largest frame needs: three weights of 12 bytes for each of 16,384 rows and columns."""


class GpuPreprocess:
    """Puts reset and preprocess into the stream of ``memory``; a captured graph finds each frame by ``show``.

    ``memory``: ``engines.cuda.memory.PinnedMemory``; ``cuda``: ``pycuda.driver``; ``source``: ``cuda_preprocess.cuh``;
    ``shape``: (1, channels, height, width) of the output, whose device address is ``out``. Raises DeviceError: no
    nvrtc, or a kernel that does not compile; RunError: out of memory.
    """

    def __init__(
        self, cuda: Any, memory: Any, source: str, sm: str, *, shape: tuple[int, ...], out: int
    ) -> None:
        self._memory, self._error = memory, cuda.Error
        try:
            module = cuda.module_from_buffer(compile_ptx(source, "cuda_preprocess.cuh", sm))
            self._module = module
            self._preprocess, self._reset = (
                module.get_function(n) for n in ("edge_preprocess", "edge_reset")
            )
        except cuda.Error as error:
            raise DeviceError(f"cuda_preprocess.cuh: the driver does not load it ({error})") from error
        self._tables = memory.reserve(_TABLE_BYTES)
        memory.write(self._tables, bytes(_NO_PLAN))
        self._frame: Buffer = memory.allocate((2,), np.uint64)  # struct EdgeFrame: pixels, stride
        self._stats: Buffer = memory.allocate((2,), np.uint64)  # struct EdgeStats: sum, dark and bright
        self._out, self._pixels = out, int(np.prod(shape[2:]))
        self._grid = (-(-shape[3] // _BLOCK[0]), -(-shape[2] // _BLOCK[1]), 1)

    @property
    def frame(self) -> NDArray[np.uint64]:
        """``struct EdgeFrame`` in mapped memory: device address of the pixels, stride in bytes."""
        words: NDArray[np.uint64] = self._frame.host
        return words

    @property
    def counted(self) -> NDArray[np.uint64]:
        """``struct EdgeStats`` in mapped memory, see ``read_stats``."""
        words: NDArray[np.uint64] = self._stats.host
        return words

    def set_tables(self, tables: bytes) -> None:
        """``edge._core.cuda_tables`` of the frames to come, while none is launched. Raises DeviceError: too large."""
        if len(tables) > _TABLE_BYTES:
            raise DeviceError(
                f"{len(tables)} bytes of preprocess tables, {_TABLE_BYTES} fit: frames of more than 16384 pixels a side"
            )
        self._memory.write(self._tables, tables)

    def show(self, pixels: int, stride: int) -> None:
        """The next launch reads a frame at this device address, rows ``stride`` bytes apart."""
        self._frame.host[:] = (pixels, stride)

    def enqueue(self) -> None:
        """Both kernels; may be captured. Raises RunError: the driver takes none."""
        self.enqueue_reset()
        addresses = (self._tables, self._frame.device, self._out, self._stats.device)
        self._launch(self._preprocess, addresses, _BLOCK, self._grid)

    def enqueue_reset(self) -> None:
        """The smallest kernel there is: what a launch costs. Raises RunError."""
        self._launch(self._reset, (self._stats.device,), (1, 1, 1), (1, 1, 1))

    def _launch(self, kernel: Any, addresses: tuple[int, ...], block: _Size, grid: _Size) -> None:
        try:
            kernel(*(np.uint64(a) for a in addresses), block=block, grid=grid, stream=self._memory.handle)
        except self._error as error:
            raise RunError(f"the driver does not take the preprocess kernel ({error}); see dmesg") from error

    def stats(self) -> tuple[float, float, float]:
        """Mean grey level, shares of dark and of bright pixels, after the stream is done."""
        return read_stats(self._stats.host, self._pixels)


def kernel_into(out: Binding, memory: Any, cuda: Any, sm: str) -> Callable[[str], GpuPreprocess]:
    """Makes, of its source, the kernel that writes an engine's input. The other arguments: as GpuPreprocess's."""

    def kernel(source: str) -> GpuPreprocess:
        return GpuPreprocess(cuda, memory, source, sm, shape=out.shape, out=out.buffer.device)

    return kernel


def read_stats(words: NDArray[np.uint64], pixels: int) -> tuple[float, float, float]:
    """Of a ``struct EdgeStats`` as two little-endian 64-bit words."""
    total, counts = int(words[0]), int(words[1])
    return total / 256 / pixels, (counts & _LOW) / pixels, (counts >> 32) / pixels
