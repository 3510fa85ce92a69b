"""The preprocess kernel on the GPU: compiled for the device, its tables uploaded, each frame found by its address."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.cuda.compile import compile_ptx
from engines.tensorrt.runner import Buffer

_BLOCK = (16, 16, 1)
_LOW = 0xFFFFFFFF


class GpuPreprocess:
    """Puts reset and preprocess into the stream of ``memory``; a captured graph finds each frame by ``show``.

    ``memory``: ``engines.cuda.memory.PinnedMemory``; ``cuda``: ``pycuda.driver``; ``source``: ``cuda_preprocess.cuh``;
    ``tables``: ``edge._core.cuda_tables``; ``shape``: (1, channels, height, width) of the output, whose device address
    is ``out``. Raises DeviceError: no nvrtc, or a kernel that does not compile.
    """

    def __init__(
        self, cuda: Any, memory: Any, source: str, sm: str, *, tables: bytes, shape: tuple[int, ...], out: int
    ) -> None:
        module = cuda.module_from_buffer(compile_ptx(source, "cuda_preprocess.cuh", sm))
        self._module, self._memory = module, memory
        self._preprocess, self._reset = (module.get_function(n) for n in ("edge_preprocess", "edge_reset"))
        self._tables = memory.upload(tables)
        self._frame: Buffer = memory.allocate((2,), np.uint64)  # struct EdgeFrame: pixels, stride
        self._stats: Buffer = memory.allocate((2,), np.uint64)  # struct EdgeStats: sum, dark and bright
        self._out, self._pixels = out, int(np.prod(shape[2:]))
        self._grid = (-(-shape[3] // _BLOCK[0]), -(-shape[2] // _BLOCK[1]), 1)

    def show(self, pixels: int, stride: int) -> None:
        """The next launch reads a frame at this device address, rows ``stride`` bytes apart."""
        self._frame.host[:] = (pixels, stride)

    def enqueue(self) -> None:
        """Both kernels; may be captured."""
        stream = self._memory.handle
        self.enqueue_reset()
        self._preprocess(
            *(
                np.uint64(address)
                for address in (self._tables, self._frame.device, self._out, self._stats.device)
            ),
            block=_BLOCK,
            grid=self._grid,
            stream=stream,
        )

    def enqueue_reset(self) -> None:
        """The smallest kernel there is: what a launch costs."""
        self._reset(
            np.uint64(self._stats.device), block=(1, 1, 1), grid=(1, 1, 1), stream=self._memory.handle
        )

    def stats(self) -> tuple[float, float, float]:
        """Mean grey level, shares of dark and of bright pixels, after the stream is done."""
        return read_stats(self._stats.host, self._pixels)


def read_stats(words: NDArray[np.uint64], pixels: int) -> tuple[float, float, float]:
    """Of a ``struct EdgeStats`` as two little-endian 64-bit words."""
    total, counts = int(words[0]), int(words[1])
    return total / 256 / pixels, (counts & _LOW) / pixels, (counts >> 32) / pixels
