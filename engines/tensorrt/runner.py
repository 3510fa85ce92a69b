"""A built engine on the GPU: buffers bound once, one call per picture."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.errors import BuildError, RunError
from engines.tensorrt.log import Messages, make_logger


class Buffer(Protocol):
    """Memory that the CPU and the GPU both see."""

    @property
    def host(self) -> NDArray[Any]:
        """The CPU's view."""

    @property
    def device(self) -> int:
        """The GPU's address."""


class Memory(Protocol):
    """Where buffers come from, and the stream that orders the work; ``engines.cuda.memory`` has the real one."""

    @property
    def context(self) -> int:
        """CUcontext as a number."""

    @property
    def stream(self) -> int:
        """CUstream as a number."""

    def attach(self) -> None:
        """Makes the GPU's context current on the calling thread."""

    def allocate(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Buffer:
        """Raises RunError: out of memory."""

    def synchronize(self, timeout_s: float) -> bool:
        """Waits for the stream; False: it is still busy."""


@dataclass(frozen=True)
class Binding:
    """One input or output."""

    name: str
    shape: tuple[int, ...]
    buffer: Buffer


class TensorRtEngine:
    """Fill ``input``, call ``run``, read ``output``: float32 host arrays that stay where they are.

    Raises BuildError: bytes that are no engine for this TensorRT and GPU, or not one float32 input and output;
    RunError: out of memory.
    """

    def __init__(self, trt: Any, engine: bytes, memory: Memory, *, host_code: bool = False) -> None:
        self._trt, self._memory, self._messages = trt, memory, Messages()
        self._logger = make_logger(trt, self._messages)
        self._runtime = trt.Runtime(self._logger)
        if host_code and hasattr(self._runtime, "engine_host_code_allowed"):
            self._runtime.engine_host_code_allowed = True
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise BuildError(
                f"TensorRT {trt.__version__} cannot load the engine of {len(engine)} bytes: {self._messages.last_error}"
                "; it is truncated, or was built by another TensorRT or for another GPU: run 'edge engines build' here"
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise RunError(
                f"no execution context ({self._messages.last_error}); expected "
                f"{self.memory_bytes >> 20} MiB of free GPU memory: stop what else uses the GPU"
            )
        self._input, self._output = self._bind()
        self.input: NDArray[np.float32] = self._input.buffer.host
        self.output: NDArray[np.float32] = self._output.buffer.host

    @property
    def bindings(self) -> tuple[Binding, Binding]:
        """Input and output."""
        return self._input, self._output

    @property
    def memory_bytes(self) -> int:
        """Device memory that a context needs."""
        name = (
            "device_memory_size_v2"
            if hasattr(self._engine, "device_memory_size_v2")
            else "device_memory_size"
        )
        return int(getattr(self._engine, name))

    def information(self) -> str:
        """TensorRT's own JSON about the layers; see ``engines.tensorrt.layers``."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    @property
    def context(self) -> int:
        """CUcontext as a number."""
        return self._memory.context

    @property
    def stream(self) -> int:
        """CUstream as a number."""
        return self._memory.stream

    def enqueue(self) -> None:
        """Puts one inference into the stream; what a CUDA graph captures. From any thread. Raises RunError."""
        self._memory.attach()
        if not self._context.execute_async_v3(self._memory.stream):
            raise RunError(f"TensorRT did not start the inference: {self._messages.last_error}")

    def run(self, timeout_s: float = 1.0) -> None:
        """One inference, input to output. Raises RunError: it failed, or took longer than ``timeout_s``."""
        self.enqueue()
        if not self._memory.synchronize(timeout_s):
            raise RunError(
                f"the inference took longer than {timeout_s:g} s: the GPU hangs or is shared; see dmesg"
            )

    def _bind(self) -> tuple[Binding, Binding]:
        trt, engine = self._trt, self._engine
        inputs: list[Binding] = []
        outputs: list[Binding] = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            binding = self._allocate(name)
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            (inputs if is_input else outputs).append(binding)
            if not self._context.set_tensor_address(name, binding.buffer.device):
                raise RunError(f"tensor '{name}': TensorRT refuses its address: {self._messages.last_error}")
        if len(inputs) != 1 or len(outputs) != 1:
            raise BuildError(
                f"inputs {[b.name for b in inputs]}, outputs {[b.name for b in outputs]}: expected one of each; "
                "export the model with one picture in and its scores out"
            )
        return inputs[0], outputs[0]

    def _allocate(self, name: str) -> Binding:
        dims = self._engine.get_tensor_shape(name)
        shape = tuple(int(dims[axis]) for axis in range(len(dims)))
        dtype = self._engine.get_tensor_dtype(name)
        if dtype != self._trt.DataType.FLOAT or min(shape, default=0) < 1:
            raise BuildError(
                f"tensor '{name}': {dtype} {shape}, expected float32 of a fixed shape; export the model with "
                "batch size 1 and float32 at its ends"
            )
        return Binding(name, shape, self._memory.allocate(shape, np.float32))
