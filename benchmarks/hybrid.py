"""What two stages save against a ResNet50 for every part: ``python -m benchmarks.hybrid --report r.json ...``.

Gate, classifier and two ResNet50 (whole, and with 30 % of conv3_x to conv5_x cut) of the same INT8 scheme run in
turn on one thread. How often the classifier is asked is taken from reports of ``edge evaluate --speeds``. The
ResNet50s carry random weights: their time does not depend on what they have learnt, and nothing is said here of how
often they are right.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge._core import CalibrationHistogram
from edge.config import engine_path, example_path, load_line
from edge.inspection.engines import load_pair
from engines.quantize import quantize_u8s8
from tools.measure import in_turn_ms, open_session
from tools.pruning.cut import batch_norms, cut
from tools.pruning.importance import Worth
from tools.training.export import export_onnx
from tools.training.zoo import build, network

CLASSES, CUT_SHARE, CALIBRATION_PICTURES = 6, 0.3, 8


def resnet50(size: tuple[int, int], share: float, folder: Path) -> Callable[[], object]:
    """Runs an INT8 ResNet50 of which ``share`` of the channels are cut, once, on a random picture."""
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    net = build(network("resnet50"), CLASSES, size).to(memory_format=torch.contiguous_format).eval()
    if share > 0:
        norms = {name: net.get_submodule(name).weight for name in batch_norms(net)}
        worth = {name: torch.rand(len(weight)) for name, weight in norms.items()}
        none = {name: torch.zeros(len(weight), dtype=torch.bool) for name, weight in norms.items()}
        cut(net, Worth(worth, none), share, size)
    pictures = rng.normal(size=(CALIBRATION_PICTURES, 3, size[1], size[0])).astype(np.float32)
    fp32, int8 = folder / "fp32.onnx", folder / f"int8-{share:g}.onnx"
    export_onnx(net, fp32, size, pictures[:1])
    quantize_u8s8(fp32, int8, (picture[None] for picture in pictures), CalibrationHistogram)
    session = open_session(int8)
    return lambda: session.run(["scores"], {"image": pictures[:1]})


def looks_per_part(reports: Sequence[Path], speed_m_per_s: float) -> tuple[float, float]:
    """(gate's share, classifier runs per judged part) at one speed, means over the reports."""
    found = []
    for path in reports:
        rows = json.loads(path.read_text(encoding="utf-8"))["routing"]
        row = next((r for r in rows if abs(r["speed_m_per_s"] - speed_m_per_s) < 1e-6), None)
        if row is None:
            speeds = [r["speed_m_per_s"] for r in rows]
            raise SystemExit(
                f"{path}: no row for {speed_m_per_s} m/s; expected one of {speeds}: give --speed"
            )
        found.append((row["gate_share"], 1 - row["gate_share"] - row["no_time_share"] + row["retest_share"]))
    gate_share, looks = np.mean(found, 0)
    return float(gate_share), float(looks)


def measure(
    reports: Sequence[Path], speed_m_per_s: float, size: tuple[int, int], runs: int
) -> dict[str, Any]:
    """Times, and the mean engine time of two stages as a share of each one-stage line's."""
    line = load_line(example_path("demo.yaml"))
    gate, classifier = load_pair(engine_path(line.engines.gate), engine_path(str(line.engines.classifier)), 1)
    assert classifier is not None
    share, looks = looks_per_part(reports, speed_m_per_s)
    with tempfile.TemporaryDirectory() as folder:
        whole, pruned = (resnet50(size, cut_share, Path(folder)) for cut_share in (0.0, CUT_SHARE))
        times = in_turn_ms((gate.run, classifier.run, whole, pruned), runs)
    two_stages = times[:, 0] + looks * times[:, 1]
    names = ("gate", "classifier", "resnet50", "resnet50_pruned")
    return {
        "speed_m_per_s": speed_m_per_s,
        "resnet50_size": "x".join(map(str, size)),
        "gate_share": round(share, 4),
        "classifier_runs_per_part": round(looks, 4),
        "ms": {
            name: {f"p{q}": round(float(np.percentile(column, q)), 3) for q in (50, 99)}
            for name, column in zip(names, times.T, strict=True)
        },
        "two_stages_ms_p50": round(float(np.median(two_stages)), 3),
        "two_stages_share_of": {
            name: _share(two_stages / column) for name, column in zip(names[1:], times.T[1:], strict=True)
        },
    }


def _share(ratios: NDArray[np.float64]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(ratios, q)), 4) for q in (5, 50, 95)}


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.hybrid", description=__doc__)
    parser.add_argument("--report", type=Path, nargs="+", required=True, help="of edge evaluate --speeds")
    parser.add_argument("--speed", type=float, default=1.2, help="m/s; a row of the reports")
    parser.add_argument("--size", default="192x144", help="WIDTHxHEIGHT of the ResNet50s' input")
    parser.add_argument("--runs", type=int, default=500)
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    print(json.dumps(measure(options.report, options.speed, (width, height), options.runs), indent=2))


if __name__ == "__main__":
    main()
