"""Prunes conv3_x to conv5_x of a trained ResNet50 and says what it cost and what it gained:
``python -m tools.prune --weights runs/twin-resnet50/weights.pt --share 0.28 --rounds 3``."""

import json
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.whole_file import write_whole
from tools import measure
from tools.command import repeatable, run_job
from tools.dataset import CALIBRATION, TEST, TRAIN, VALIDATION, normalise
from tools.pruning.cut import macs_and_weights, stage_channels
from tools.pruning.stages import Plan, Pruning
from tools.train import bar, progress_bar
from tools.training import export, pictures
from tools.training.fit import MEAN, STD, Recipe
from tools.training.sets import Labelled
from tools.training.twin_sets import twin_set
from tools.training.weights import Trained, load_weights, save_weights
from tools.twin.parts import DEFAULT_LOOK, METAL, PLAIN


def main(arguments: list[str] | None = None) -> None:
    """Command line; errors that a user can mend end with their message and status 1."""
    options = command_parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    run_job("prune", lambda: run(options), resume="with the round it was in")


def command_parser() -> ArgumentParser:
    """Of this command; ``tools.compare`` gives it its arguments too."""
    parser = ArgumentParser(prog="python -m tools.prune", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="of tools.train --model resnet50")
    parser.add_argument("--share", type=float, default=0.28, help="channels of conv3_x to conv5_x that go")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=0.7, help="of healing after each round")
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--parts", type=int, default=14_000)
    parser.add_argument("--test-parts", type=int, default=4_000)
    parser.add_argument("--validation-parts", type=int, default=1_000)
    parser.add_argument("--look", choices=(PLAIN, METAL), default=DEFAULT_LOOK, help="of the twin's parts")
    parser.add_argument(
        "--severity-power", type=float, default=1.0, help="of the parts that heal, as in tools.train"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/pruned"))
    parser.add_argument("--out", type=Path, help="install engine and manifest here, e.g. engines/models")
    parser.add_argument("--name", default="classifier", help="of the installed files")
    parser.add_argument("--cache", type=Path, help="folder of rendered sets")
    parser.add_argument("--threads", type=int)
    return parser


def run(options: Namespace) -> dict[str, Any]:
    """Prunes, then exports, quantises and examines both networks on the same unseen parts."""
    base = load_weights(options.weights)
    recipe = Recipe(
        epochs=options.epochs,
        batch=options.batch,
        top_rate=options.rate,
        weight_decay=0.05,
        seed=options.seed,
        warm_up=0.05,
    )
    plan = Plan(options.share, options.rounds, recipe)

    def parts(namespace: str, count: int, power: float = 1.0) -> Labelled:
        return twin_set(
            namespace, count, options.seed, base.size, options.cache, look=options.look, severity_power=power
        )

    train = parts(TRAIN, options.parts, options.severity_power)
    validation = parts(VALIDATION, options.validation_parts)
    with progress_bar() as progress:
        pruning = Pruning(plan, train, validation, bar(progress, "heal"))
        pruned, rounds = pruning.run(base, options.work)
    save_weights(options.work / "weights.pt", pruned)
    test, calibration = parts(TEST, options.test_parts), parts(CALIBRATION, 300)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        graphs = _graphs({"before": base, "after": pruned}, Path(folder), test, calibration)
        examined = {name: export.examine(*graphs[name], test) for name in graphs}
        latency = measure.latencies_ms(
            [graphs["before"][1], graphs["after"][1]], normalise(test.images[:1], MEAN, STD)
        )
        report: dict[str, Any] = {"rounds": [asdict(item) for item in rounds]}
        for column, (name, trained) in enumerate((("before", base), ("after", pruned))):
            report[name] = _figures(trained, graphs[name][1], examined[name], latency[:, column])
        report |= _differences(report["before"], report["after"])
        print(measure.card(examined["after"].scores_int8, test.labels))
        if options.out:
            command = repeatable("tools.prune")
            origin = export.Origin(
                "classifier", command, options.parts, options.seed, base.size, options.name
            )
            export.install(
                graphs["after"][1], options.out, origin, export.measured_spec(examined["after"], options.seed)
            )
        for kind, path in zip(("fp32", "int8"), graphs["after"], strict=True):
            path.replace(options.work / f"{kind}.onnx")
    write_whole(options.work / "report.json", json.dumps(report, indent=2) + "\n")
    _picture(report, options.work / "pruning.png")
    return report


def _graphs(
    nets: dict[str, Trained], folder: Path, test: Labelled, calibration: Labelled
) -> dict[str, tuple[Path, Path]]:
    graphs = {}
    for name, trained in nets.items():
        fp32, int8 = folder / f"{name}.fp32.onnx", folder / f"{name}.int8.onnx"
        export.export_onnx(trained.net, fp32, trained.size, normalise(test.images[:16], MEAN, STD))
        export.quantise(fp32, int8, calibration.images)
        graphs[name] = (fp32, int8)
    return graphs


def _figures(
    trained: Trained, int8: Path, examined: export.Examined, times_ms: NDArray[np.float64]
) -> dict[str, float]:
    macs, weights = macs_and_weights(trained.net, trained.size)
    return {
        "accuracy_fp32": round(examined.accuracy_fp32, 5),
        "accuracy_int8": round(examined.accuracy_int8, 5),
        "escape_rate_int8": round(measure.escape_rate(examined.scores_int8, examined.labels), 5),
        "channels_conv3_to_conv5": stage_channels(trained.net),
        "macs": macs,
        "weights": weights,
        "int8_mb": round(int8.stat().st_size / 1e6, 2),
        "latency_int8_ms_p50": round(float(np.median(times_ms)), 3),
        "latency_int8_ms_p99": round(float(np.percentile(times_ms, 99)), 3),
        "parts": len(examined.labels),
    }


def _differences(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    kept = after["channels_conv3_to_conv5"] / before["channels_conv3_to_conv5"]
    return {
        "channels_cut": round(1 - kept, 4),
        "times_as_fast_int8": round(before["latency_int8_ms_p50"] / after["latency_int8_ms_p50"], 3),
        "points_lost_int8": round(100 * (before["accuracy_int8"] - after["accuracy_int8"]), 3),
    }


def _picture(report: dict[str, Any], path: Path) -> None:
    """Before and after, as shares of before, and the accuracy over the rounds."""
    figure, (left, right) = pictures.new_figure(10, 4, ncols=2)
    keys = {
        "channels": "channels_conv3_to_conv5",
        "MACs": "macs",
        "weights": "weights",
        "INT8 file": "int8_mb",
        "INT8 latency": "latency_int8_ms_p50",
    }
    shares = [100 * report["after"][key] / report["before"][key] for key in keys.values()]
    left.barh(list(keys), shares, color="tab:blue")
    left.axvline(100, color="black", linewidth=1)
    left.set_xlabel("after pruning, % of before")
    left.invert_yaxis()
    rounds = report["rounds"]
    right.plot(range(1, len(rounds) + 1), [100 * item["accuracy_cut"] for item in rounds], "o--", label="cut")
    right.plot(
        range(1, len(rounds) + 1), [100 * item["accuracy_healed"] for item in rounds], "o-", label="healed"
    )
    right.set_xlabel("round")
    right.set_ylabel("validation accuracy, %")
    right.legend()
    pictures.save_figure(figure, path)


if __name__ == "__main__":
    main()
