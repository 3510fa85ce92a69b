"""Any engine, as the commands that look at one want it: from the store, by its manifest, or a bare file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.errors import BuildError
from engines.load import load_engine
from engines.store.folder import MANIFEST, EngineStore
from engines.timing import times_ms


@dataclass(frozen=True)
class Opened:
    """Fill ``input``, ``run``, read ``output``; ``information``: TensorRT's description of the layers."""

    input: NDArray[np.float32]
    output: NDArray[np.float32]
    run: Callable[[], object]
    information: Callable[[], str] | None = None

    def answer(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """A copy of the output for one picture, flat."""
        self.input[:] = picture
        self.run()
        answer: NDArray[np.float32] = self.output.ravel().copy()
        return answer

    def times_ms(self, runs: int, say: Callable[[str, float], None]) -> NDArray[np.float64]:
        """Of single runs on noise, after a warm-up."""
        return times_ms(self.input, self.run, runs, lambda share: say("runs", share))


def open_any(text: str) -> Opened:
    """``store:NAME``, the id of an entry, or a path: .yaml (manifest), .onnx, else a TensorRT engine.

    Raises StoreError, ManifestError, DeviceError, BuildError, RunError.
    """
    if text.startswith("store:"):
        return _loaded(EngineStore().active(text.removeprefix("store:")))
    path = Path(text)
    if not path.exists():
        return _loaded(EngineStore().find(text).folder / MANIFEST)
    if path.suffix in (".yaml", ".yml"):
        return _loaded(path)
    return _onnx(path) if path.suffix == ".onnx" else _tensorrt(path)


def _loaded(path: Path) -> Opened:
    engine = load_engine(path)
    return Opened(engine.input, engine.scores, engine.run, getattr(engine.gpu, "information", None))


def _onnx(path: Path) -> Opened:
    import onnxruntime as ort

    try:
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise BuildError(f"{path}: ONNX Runtime cannot load it ({str(error).splitlines()[0]})") from error
    node = session.get_inputs()[0]
    if not all(isinstance(size, int) for size in (*node.shape, *session.get_outputs()[0].shape)):
        raise BuildError(f"{path}: input {node.shape}: expected fixed shapes; export it with batch size 1")
    image = np.zeros(node.shape, np.float32)
    output = np.zeros(session.get_outputs()[0].shape, np.float32)

    def run() -> None:
        output[:] = session.run(None, {node.name: image})[0]

    return Opened(image, output, run)


def _tensorrt(path: Path) -> Opened:
    """A bare file, on the word of whom types its name; a line takes none."""
    from engines.tensorrt.module import load_tensorrt
    from engines.tensorrt.runner import TensorRtEngine

    trt, _device = load_tensorrt()
    from engines.cuda.memory import PinnedMemory

    engine = TensorRtEngine(trt, path.read_bytes(), PinnedMemory())
    return Opened(engine.input, engine.output, engine.run, engine.information)
