"""Memory that CPU and GPU share (mapped and pinned; on a Jetson no byte is copied), and one stream, by pycuda."""

import atexit
import ctypes
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import DeviceError, RunError
from engines.tensorrt.driver import LIBRARY

_POLL_S = 20e-6
_ONES: dict[int, Any] = {}


@dataclass(frozen=True)
class PinnedBuffer:
    """One array at two addresses."""

    host: NDArray[Any]
    device: int


def primary_context(ordinal: int = 0) -> Any:
    """The device's primary context, current on this thread: the one that TensorRT and torch use too.

    Raises DeviceError: pycuda is missing, or finds no device.
    """
    try:
        import pycuda.driver as cuda
    except ImportError as error:
        raise DeviceError(
            f"pycuda cannot be imported ({error}); install it on the device: pip install 'edge-inspection[jetson]'"
        ) from error
    try:
        if ordinal not in _ONES:
            cuda.init()
            _ONES[ordinal] = cuda.Device(ordinal).retain_primary_context()
            _ONES[ordinal].push()
            atexit.register(_ONES[ordinal].pop)
    except cuda.Error as error:
        raise DeviceError(f"GPU {ordinal}: no context ({error}); check nvidia-smi") from error
    return cuda


class PinnedMemory:
    """Buffers and a stream of the primary context, which becomes current on the thread that makes this."""

    def __init__(self, ordinal: int = 0) -> None:
        self._cuda = primary_context(ordinal)
        self._stream = self._cuda.Stream()
        self._reserved: list[Any] = []
        self.context = int(_ONES[ordinal].handle)
        self._driver = ctypes.CDLL(LIBRARY)
        self._here = threading.local()
        self._here.attached = True

    @property
    def stream(self) -> int:
        """CUstream as a number."""
        return int(self._stream.handle)

    @property
    def handle(self) -> Any:
        """pycuda's own stream."""
        return self._stream

    def attach(self) -> None:
        """Makes the context current on the calling thread; pycuda pushes it only where it was made."""
        if getattr(self._here, "attached", False):
            return
        if status := self._driver.cuCtxSetCurrent(ctypes.c_void_p(self.context)):
            raise RunError(f"cuCtxSetCurrent: error {status}; the GPU was reset or has gone: see dmesg")
        self._here.attached = True

    def allocate(self, shape: tuple[int, ...], dtype: type[np.generic]) -> PinnedBuffer:
        """Zeroed. Raises RunError: out of memory."""
        flags = self._cuda.host_alloc_flags.DEVICEMAP
        try:
            host = self._cuda.pagelocked_zeros(shape, dtype, mem_flags=flags)
        except self._cuda.Error as error:
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            raise RunError(
                f"no {size} bytes of mapped memory ({error}); stop what else uses the GPU"
            ) from error
        return PinnedBuffer(host, int(host.base.get_device_pointer()))

    def reserve(self, size: int) -> int:
        """Device memory that only the GPU reads; it lives as long as this object. Raises RunError: out of memory."""
        try:
            pointer = self._cuda.mem_alloc(size)
        except self._cuda.Error as error:
            raise RunError(f"no {size} bytes on the GPU ({error}); stop what else uses it") from error
        self._reserved.append(pointer)
        return int(pointer)

    def write(self, address: int, content: bytes) -> None:
        """Copies to what was reserved, and waits for it. Raises RunError."""
        self.attach()
        try:
            self._cuda.memcpy_htod(address, content)
        except self._cuda.Error as error:
            raise RunError(f"{len(content)} bytes do not reach the GPU ({error}); see dmesg") from error

    def synchronize(self, timeout_s: float) -> bool:
        """Polls, because a blocking wait has no limit; False: still busy."""
        end = time.monotonic() + timeout_s
        while not self._stream.is_done():
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
        return True
