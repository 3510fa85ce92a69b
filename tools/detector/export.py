"""From a trained network to an engine: ONNX, checked against torch, quantised, measured, described."""

import datetime
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edge._core import CalibrationHistogram
from engines.manifest import (
    BoxClassSpec,
    DecoderSpec,
    EngineManifest,
    InputSpec,
    MeasuredSpec,
    PrecisionSpec,
    TrainedSpec,
    write_manifest,
)
from engines.quantize import quantize_u8s8
from tools.dataset import normalise
from tools.detector.errors import DetectorError
from tools.detector.evidence import Evidence, fit
from tools.detector.fit import MEAN, STD
from tools.detector.judge import best_of, present
from tools.detector.measure import Measured, latencies_ms, measure
from tools.detector.net import Detector, Exported, NetSpec
from tools.detector.sets import PART, TWIN_BOX_CLASSES, BoxSet
from tools.twin.parts import CLASSES, FLAWLESS, NO_PART

_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Target:
    """Where the engine goes and how it was made."""

    folder: Path
    name: str
    command: str
    parts: int
    seed: int
    float_graph: Path
    """Where the float32 graph stays, for ``edge engines report``."""


def export(net: Detector, path: Path) -> None:
    """Input ``image`` float32 1×3×H×W, output ``boxes`` float32 1×locations×outputs, opset 17.

    Raises DetectorError when ONNX Runtime and torch differ by more than 0.001 on noise.
    """
    import onnxruntime as ort

    graph = Exported(net).eval().to(memory_format=torch.contiguous_format)
    example = torch.randn(1, 3, net.spec.height, net.spec.width, generator=torch.Generator().manual_seed(0))
    torch.onnx.export(
        graph,
        (example,),
        str(path),
        input_names=["image"],
        output_names=["boxes"],
        opset_version=17,
        dynamo=False,
    )
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        wanted = graph(example).numpy()
    difference = float(np.abs(session.run(None, {"image": example.numpy()})[0] - wanted).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise DetectorError(
            f"{path}: ONNX Runtime differs from torch by {difference:g}; expected {_TOLERANCE:g}"
        )


def twin_engine(
    net: Detector, validation: BoxSet, calibration: BoxSet, test: BoxSet, target: Target
) -> dict[str, object]:
    """Model and manifest appear together when all is measured; returns the figures."""
    target.folder.mkdir(parents=True, exist_ok=True)
    best = best_of(net, validation.images)
    evidence = fit(best.scores, present(validation, net.spec.classes))
    with tempfile.TemporaryDirectory(dir=target.folder) as folder:
        fp32, int8 = target.float_graph, Path(folder) / f"{target.name}.onnx"
        export(net, fp32)
        quantize_u8s8(
            fp32,
            int8,
            (image[None] for image in normalise(calibration.images, MEAN, STD)),
            CalibrationHistogram,
        )
        plain = _manifest(net.spec, evidence, fp32, target, None)
        small = _manifest(net.spec, evidence, int8, target, None)
        measured, exact = measure(small, test), measure(plain, test)
        times = latencies_ms([plain, small])
        manifest = _manifest(net.spec, evidence, int8, target, _spec(exact, measured, times, target.seed))
        int8.replace(target.folder / int8.name)
    write_manifest(manifest, target.folder / f"{target.name}.yaml")
    return {
        "int8": measured.report(),
        "float32": exact.report(),
        "latency_ms_int8": times[1],
        "latency_ms_fp32": times[0],
        "card": measured.card,
    }


def _spec(exact: Measured, measured: Measured, times: list[float], seed: int) -> MeasuredSpec:
    return MeasuredSpec(
        accuracy_fp32=round(exact.accuracy, 4),
        accuracy_int8=round(measured.accuracy, 4),
        escape_rate_at_argmax=round(measured.escape_rate, 5),
        latency_ms_fp32=round(times[0], 3),
        latency_ms_int8=round(times[1], 3),
        parts=measured.parts,
        seed=seed,
    )


def decoder_spec(spec: NetSpec, evidence: Evidence) -> DecoderSpec:
    """The twin's classes of boxes: the part first, then the defects."""
    boxes = zip(TWIN_BOX_CLASSES, evidence.gain, evidence.bias, strict=True)
    return DecoderSpec(
        kind="nanodet_plus",
        strides=spec.strides,
        reg_max=spec.reg_max,
        part_class=PART,
        box_classes=tuple(BoxClassSpec(name=name, gain=gain, bias=bias) for name, gain, bias in boxes),
    )


_UNMEASURED = MeasuredSpec(
    accuracy_fp32=0,
    accuracy_int8=0,
    escape_rate_at_argmax=0,
    latency_ms_fp32=1,
    latency_ms_int8=1,
    parts=1,
    seed=0,
)


def _manifest(
    spec: NetSpec, evidence: Evidence, model: Path, target: Target, measured: MeasuredSpec | None
) -> EngineManifest:
    return EngineManifest(
        schema=1,
        name=f"twin-{target.name.replace('_', '-')}",
        role="gate",
        file=model.name,
        sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
        classes=CLASSES,
        good_class=CLASSES[FLAWLESS],
        empty_class=CLASSES[NO_PART],
        input=InputSpec(width=spec.width, height=spec.height, channels=3, mean=MEAN, std=STD, resize="area"),
        precision=PrecisionSpec(scheme="u8s8", head="float32"),
        trained=TrainedSpec(
            command=target.command,
            parts=target.parts,
            seed=target.seed,
            date=datetime.datetime.now(datetime.timezone.utc).date(),
        ),
        measured=measured or _UNMEASURED,
        decoder=decoder_spec(spec, evidence),
        folder=model.parent,
    )
