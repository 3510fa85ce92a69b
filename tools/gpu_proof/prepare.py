"""Everything up to the driver call: kernel, pictures, float models, both INT8 artifacts. Runs on a CPU."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edge import _core
from edge._core import PixelFormat, Preprocess
from edge.inspection.gpu import KERNEL
from engines.cuda.compile import compile_ptx
from engines.graph import input_shape
from engines.judge import Answers
from engines.parity import compare, outputs
from engines.precision import PrecisionPlan
from engines.quantize import int8_graphs
from engines.scales import cache_text
from tools.gpu_proof.outcome import Figure, NotHereError
from tools.quantise.calibrate import calibrated
from tools.quantise.data import all_of, twin_sets
from tools.quantise.subject import open_subject

Say = Callable[[str, float], None]
FRAME = (1920, 1200)
"""Width and height of the frames that the kernel is asked about."""
FORMATS = {PixelFormat.MONO8: 1, PixelFormat.BAYER_RG8: 1, PixelFormat.BGR8: 3}
WITHOUT_DEVICE = ("7.5", "8.7", "9.0")
_RESNET50_SIDE = 224
_SPREAD = 20
"""Times the last layer's random weights, so that scores differ enough to be compared."""


@dataclass(frozen=True)
class Artifact:
    """One model, ready to be built."""

    name: str
    float_model: bytes
    qdq: bytes
    cache: str
    pictures: Sequence[NDArray[np.float32]]
    expected: Answers
    """Of the float model in ONNX Runtime."""
    trained: bool
    """Else the weights are random, and only speed counts."""


def frame(pixel_format: PixelFormat) -> NDArray[np.uint8]:
    """(height, width · bytes per pixel), noise: every weight of the kernel counts."""
    width, height = FRAME
    shape = (height, width * FORMATS[pixel_format])
    return np.random.default_rng(int(pixel_format)).integers(0, 256, shape, dtype=np.uint8)


def grey_preprocess() -> Preprocess:
    """Output in shares of full scale, so that a difference · 255 is grey levels."""
    return Preprocess(out_width=224, out_height=224)


def kernel_arithmetic() -> list[Figure]:
    """The kernel's source as C++ beside the native preprocess."""
    figures = []
    for pixel_format in FORMATS:
        pixels, preprocess = frame(pixel_format), grey_preprocess()
        native, kernel = (np.empty(preprocess.shape, np.float32) for _ in range(2))
        place = (*FRAME, pixels.shape[1], pixel_format)
        preprocess.into(pixels.reshape(-1), *place, native)
        _core.cuda_preprocess_on_cpu(preprocess, pixels.reshape(-1), *place, kernel)
        difference = float(np.abs(native - kernel).max()) * 255
        figures.append(
            Figure(f"{pixel_format.name}: grey levels apart", f"{difference:.3f}", "≤ 1", difference <= 1)
        )
    return figures


def kernel_ptx(sm: str | None) -> list[Figure]:
    """By nvrtc for this device, or for three kinds of them. Raises DeviceError: no nvrtc."""
    source = KERNEL.read_text()
    sizes = {
        target: len(compile_ptx(source, KERNEL.name, target)) for target in ((sm,) if sm else WITHOUT_DEVICE)
    }
    return [Figure(f"PTX for sm {target}", f"{size} bytes") for target, size in sizes.items()]


def make_models(folder: Path, given: Sequence[Path]) -> list[tuple[str, Path, bool]]:
    """(name, float ONNX, trained): the given ones; else a ResNet50 and the gate's network with random weights.

    Raises NotHereError: nothing given and no torch.
    """
    if given:
        return [(path.stem, path, True) for path in given]
    try:
        import torch

        from tools.training.zoo import build, network
    except ImportError as error:
        raise NotHereError(
            f"no --model and no torch to make one ({error}): pip install 'edge-inspection[train]'"
        ) from error
    made = []
    for name, width, height in (("resnet50", _RESNET50_SIDE, _RESNET50_SIDE), ("plain-small", 192, 144)):
        torch.manual_seed(1)
        bare, path = build(network(name), 6, (width, height)), folder / f"{name}.onnx"
        net = torch.nn.Sequential(bare, torch.nn.Softmax(1))
        last = [module for module in bare.modules() if isinstance(module, torch.nn.Linear)][-1]
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            last.weight.mul_(_SPREAD)
            net.train()(torch.randn(4, 3, height, width))  # batch norms that know what comes
            torch.onnx.export(
                net.eval().to(memory_format=torch.contiguous_format),
                (torch.zeros(1, 3, height, width),),
                str(path),
                input_names=["image"],
                output_names=["scores"],
                opset_version=17,
                dynamo=False,
            )
        made.append((name, path, False))
    return made


def make_artifact(name: str, path: Path, *, trained: bool, pictures: int, say: Say) -> Artifact:
    """Calibrates on twin parts. Raises GraphError, CalibrationError."""
    subject = open_subject(path, None, "twin", "area")
    data = twin_sets(pictures, pictures, seed=1)
    plan = PrecisionPlan()
    seen = calibrated(subject, data, say, pictures=pictures, seed=1)
    scales = seen.observed.scales(plan.calibration)
    graphs = int8_graphs(subject.model, plan, scales)
    shown = data.exam.load(all_of(data.exam, pictures, 1), subject.spec, say)
    inputs = shown.inputs(subject.spec.mean, subject.spec.std)
    return Artifact(
        name,
        subject.model.SerializeToString(),
        graphs.qdq.SerializeToString(),
        cache_text(scales, "8502"),
        inputs,
        outputs(subject.model, inputs),
        trained,
    )


def artifact_figures(artifact: Artifact) -> list[Figure]:
    """Parity of the Q/DQ graph in ONNX Runtime; random weights are shown and not judged."""
    parity = compare(artifact.expected, outputs(onnx.load_model_from_string(artifact.qdq), artifact.pictures))
    shape = "×".join(map(str, input_shape(onnx.load_model_from_string(artifact.float_model))))
    return [
        Figure(
            f"{artifact.name} {shape}: cosine of Q/DQ",
            f"{parity.cosine:.5f}",
            *_judged(artifact, parity.cosine),
        )
    ]


def _judged(artifact: Artifact, cosine: float) -> tuple[str, bool | None]:
    return ("≥ 0.99", cosine >= 0.99) if artifact.trained else ("random weights", None)
