"""``python -m tools.evaluate``: see ``edge evaluate --help``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from calibration.errors import CalibrationError
from calibration.predictions import Predictions
from edge import _core
from edge.errors import EdgeError
from engines.errors import ManifestError
from tools.dataset import TEST
from tools.evaluate.asking import Pair, line_of
from tools.evaluate.frames import manifest_frames, manifest_rows, twin_frames
from tools.evaluate.output import write_text
from tools.evaluate.report import Evaluation, evaluate
from tools.evaluate.speeds import speeds_of
from tools.twin.parts import DEFAULT_LOOK, METAL, PLAIN

_REFERENCE = "resnet50.yaml"
"""The pair of the design: a fast gate, and a pruned ResNet50 for what it leaves open."""


def _predictions(options: argparse.Namespace, pair: Pair) -> tuple[Predictions, str]:
    if options.predictions is not None and options.predictions.is_file():
        return Predictions.load(options.predictions), f"predictions of {options.predictions.name}"
    if options.manifest is not None:
        rows = manifest_rows(options.manifest, pair.gate_manifest.classes, options.split)
        source = f"{options.manifest.name}, split {options.split}"
        p = pair.ask(manifest_frames(rows), len(rows), "asking gate and classifier", pair.line.retest.view)
    else:
        frames = twin_frames(
            options.parts,
            options.seed,
            TEST,
            defect_share=options.defect_share,
            extreme_share=options.extreme_share,
            look=options.look,
            workers=options.workers,
        )
        source = (
            f"twin, {options.parts} parts, seed {options.seed}, {100 * options.defect_share:g} % defective, "
            f"{100 * options.extreme_share:g} % within ±2 EV, look {options.look}"
        )
        p = pair.ask(frames, options.parts, "asking gate and classifier", pair.line.retest.view)
    if options.predictions is not None:
        p.save(options.predictions)
    return p, source


def show(result: Evaluation, line: str) -> None:
    """The figures for people; ``line`` is the name of the line whose engines and table they are."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(
        f"{result.source}; {line}: classifier {100 * result.classifier.accuracy:.2f} %, gate "
        f"{100 * result.gate.accuracy:.2f} %, hybrid {100 * result.hybrid.accuracy:.2f} % at "
        f"{result.speed_m_per_s:g} m/s; certificate: {result.certificate}"
    )
    table = Table(title="routing by line speed")
    for column in (
        "m/s",
        "budget ms",
        "gate",
        "engine ratio",
        "hybrid",
        "escapes",
        "≤ (95 %)",
        "overkill",
        "no time",
    ):
        table.add_column(column, justify="right")
    for row in result.routing:
        table.add_row(
            f"{row.speed_m_per_s:g}",
            f"{row.budget_ms:.1f}",
            f"{100 * row.gate_share:.1f} %",
            f"{100 * row.mean_engine_ratio:.1f} %",
            f"{100 * row.accuracy:.2f} %",
            f"{row.escapes}/{row.defective}",
            f"{100 * row.escape_upper_95:.3f} %",
            f"{100 * row.overkill_rate:.2f} %",
            f"{100 * row.no_time_share:.1f} %",
        )
    console.print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge evaluate", description="Evaluate gate, classifier and routing."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--twin", action="store_true", help="rendered parts that nobody has seen")
    source.add_argument("--manifest", type=Path, help="CSV of pictures: path, class, split, exposure")
    parser.add_argument("--split", default="test", help="of the manifest (default: test)")
    parser.add_argument("--parts", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--defect-share", type=float, default=0.65, help="of the twin's parts")
    parser.add_argument("--extreme-share", type=float, default=0.2, help="of the twin's parts: within ±2 EV")
    parser.add_argument("--look", choices=(PLAIN, METAL), default=DEFAULT_LOOK, help="of the twin's parts")
    parser.add_argument("--speeds", default="", help="m/s, from:to:step or a,b,c (default: the line's)")
    parser.add_argument("--line", type=Path, help=f"line file (default: examples/{_REFERENCE})")
    parser.add_argument("--gate", type=Path, help="manifest, in place of the line's")
    parser.add_argument("--classifier", type=Path, help="manifest, in place of the line's")
    parser.add_argument("--workers", type=int, default=1, help="rendering processes")
    parser.add_argument("--predictions", type=Path, help="keep the predictions here, or take them from here")
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    return parser


def main(argv: Sequence[str]) -> int:
    """Status 2 with a message for what cannot be evaluated."""
    options = _parser().parse_args(argv)
    try:
        if options.parts < 1 or options.seed < 0:
            raise CalibrationError(f"--parts {options.parts} --seed {options.seed}: expected ≥ 1 and ≥ 0")
        if options.report is not None and not options.report.parent.is_dir():
            raise CalibrationError(
                f"{options.report}: the folder of the report does not exist; make it first"
            )
        line = line_of(options.line, _REFERENCE)
        speeds = speeds_of(options.speeds) if options.speeds else [line.conveyor.m_per_s]
        pair = Pair(line, options.gate, options.classifier)
        predictions, source = _predictions(options, pair)
        result = evaluate(
            predictions,
            line=line,
            gate=pair.gate_manifest,
            classifier=pair.classifier_manifest,
            speeds=speeds,
            source=source,
            timing=pair.timing(),
            boxes=pair.box_figures(),
        )
    except (EdgeError, ManifestError, _core.CoreError) as error:
        print(f"edge evaluate: {error}", file=sys.stderr)
        return 2
    show(result, f"line {line.name}")
    if options.report is not None:
        write_text(options.report, result.model_dump_json(indent=2) + "\n")
        print(f"report: {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
