"""``python -m tools.calibrate thresholds``: see ``edge calibrate thresholds --help``."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from calibration.errors import CalibrationError
from calibration.predictions import LabelledFrame, Predictions
from calibration.thresholds import Wish, refusal
from edge import _core
from edge.errors import EdgeError
from edge.inspection.recipe import Recipe
from engines.bounds import trials_needed
from engines.errors import ManifestError
from tools.calibrate.picture import draw_reliability
from tools.calibrate.table import TableMaker, Way
from tools.dataset import CALIBRATION
from tools.evaluate.asking import Pair, line_of
from tools.evaluate.frames import CERTIFICATION, manifest_frames, manifest_rows, twin_frames
from tools.evaluate.output import write_text
from tools.evaluate.speeds import speeds_of
from tools.twin.parts import UNSEEN


def _frames(options: argparse.Namespace, pair: Pair, role: str) -> tuple[Iterator[LabelledFrame], int, str]:
    """Frames, their number, and in words where they come from."""
    learning = role == "learning"
    if options.manifest is not None:
        split = options.learn_split if learning else options.split
        rows = manifest_rows(options.manifest, pair.gate_manifest.classes, split)
        return manifest_frames(rows), len(rows), f"{options.manifest.name}, split {split}"
    parts, seed, namespace = (
        (options.learn_parts, options.learn_seed, CALIBRATION)
        if learning
        else (options.parts, options.seed, CERTIFICATION)
    )
    frames = twin_frames(parts, seed, namespace, workers=options.workers)
    return frames, parts, f"twin, namespace {namespace}, {parts} parts, seed {seed}"


def _predictions(options: argparse.Namespace, pair: Pair, role: str) -> tuple[Predictions, str]:
    frames, total, source = _frames(options, pair, role)
    engines = "".join(digest[:8] for digest in pair.hashes.values())
    name = "-".join("".join(c if c.isalnum() else "_" for c in part) for part in (source, options.view))
    kept = options.cache / f"{name}-{engines}.npz" if options.cache else None
    if kept is not None and kept.is_file():
        return Predictions.load(kept), source
    p = pair.ask(frames, total, f"{role} parts", options.view)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        p.save(kept)
    return p, source


def _wish(options: argparse.Namespace) -> Wish:
    if not 0 < options.escape_rate < 1 or not 0.5 < options.confidence < 1:
        raise CalibrationError(
            f"--escape-rate {options.escape_rate} --confidence {options.confidence}: expected above 0 and below 1, "
            "and above 0.5 and below 1, such as 0.001 and 0.95"
        )
    return Wish(options.escape_rate, options.confidence, options.overkill, options.gate_share)


def thresholds(options: argparse.Namespace) -> None:
    """Learns, certifies, writes the recipe."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    wish, speeds = _wish(options), speeds_of(options.speeds)
    if not options.out.parent.is_dir():
        raise CalibrationError(f"{options.out}: its folder does not exist; make it first")
    console.print(
        f"An escape rate of at most {100 * wish.escape_rate:g} % at {100 * wish.confidence:g} % confidence needs "
        f"{trials_needed(wish.escape_rate, wish.confidence)} defective parts without an escape for one way to decide, "
        f"{trials_needed(wish.escape_rate, wish.level(2))} for two; more parts allow escapes among them."
    )
    if options.manifest is None and options.parts < trials_needed(wish.escape_rate, wish.confidence):
        raise CalibrationError(refusal(options.parts, wish, 1))  # before an hour of rendering
    pair = Pair(line_of(options.line), options.gate, options.classifier)
    learning, learned_from = _predictions(options, pair, "learning")
    parts, source = _predictions(options, pair, "certification")
    if parts.sha256 == learning.sha256:
        raise CalibrationError(
            "learning and certification parts are the same; expected parts that chose nothing"
        )
    timing = pair.timing()
    console.print(
        f"p99.9 of gate {timing.gate_p999_ms:.2f} ms, classifier {timing.classifier_p999_ms:.2f} ms"
        + ("" if timing.real_time else " (no real-time priority here: a busy machine is in these)")
    )
    sharp = float(np.quantile(learning.sharpness[learning.sharpness >= 0], 0.001))
    console.print(
        f"sharpness: one learning part in a thousand is below {sharp:.4f}; half of it as exposure.min_sharpness "
        "leaves room for other light and rejects what is clearly blurred"
    )
    maker = TableMaker(
        line=pair.line,
        manifest=pair.gate_manifest,
        learning=learning,
        wish=wish,
        view=options.view,
        timing=timing,
    )
    ways = maker.certify(parts, speeds)
    recipe = maker.recipe(ways, parts, source, pair.hashes)
    if options.picture:
        fits = [("gate", maker.gate_fit), ("classifier", maker.classifier_fit)]
        errors = draw_reliability(parts, pair.gate_manifest, fits, options.picture)
        for name, (before, after) in errors.items():
            console.print(f"{name}: calibration error {before:.4f} → {after:.4f} on the certification parts")
    write_text(options.out, _text(recipe, learned_from, options))
    _show(console, recipe, ways, wish)
    console.print(f"recipe: {options.out}")


def _text(recipe: Recipe, learned_from: str, options: argparse.Namespace) -> str:
    data = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    head = (
        "# Score calibration, routing table and certificate, written by `edge calibrate thresholds`.\n"
        f"# Learned from: {learned_from}. A change by hand ends the certificate; `edge check` says so.\n"
    )
    return head + str(yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110))


def _show(console: Console, recipe: Recipe, ways: Sequence[Way], wish: Wish) -> None:
    table = Table(title="certified")
    for column in ("way", "speeds m/s", "escapes", "upper bound", "overkill", "tried"):
        table.add_column(column)
    for way in ways:
        counts = way.certified.counts
        table.add_row(
            way.name,
            f"{way.speeds[0]:g} … {way.speeds[-1]:g}" if way.speeds else "none",
            f"{counts.escapes} of {counts.defective}",
            f"{100 * way.certified.upper:.4f} %",
            f"{100 * counts.overkills / max(1, counts.good):.2f} %",
            str(way.certified.tried),
        )
    console.print(table)
    for step in recipe.routing:
        e = step.expected
        assert e is not None
        console.print(
            f"up to {step.up_to_m_per_s:g} m/s: gate good ≥ {step.gate_good:g}, defect ≥ {step.gate_defect:g}, "
            f"classifier good ≥ {step.classifier_good:g}; escalated {100 * e.escalated:.1f} %, no time "
            f"{100 * e.no_time:.1f} %, engines {e.latency_ms:.2f} ms, escape {100 * e.escape:.3f} %, "
            f"overkill {100 * e.overkill:.2f} %"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge calibrate",
        description="Calibrate what decides about parts.",
        epilog="On the device: edge calibrate new-defect, shadow, watch, bank, drift, package (each with --help).",
    )
    what = parser.add_subparsers(dest="what", required=True)
    p = what.add_parser("thresholds", help="score calibration, routing table and certificate → a recipe")
    p.add_argument("--out", type=Path, required=True, help="recipe to write (YAML)")
    p.add_argument(
        "--line", type=Path, help="line file: engines, budget, exposure (default: examples/demo.yaml)"
    )
    p.add_argument("--gate", type=Path, help="manifest, in place of the line's")
    p.add_argument("--classifier", type=Path, help="manifest, in place of the line's")
    p.add_argument("--manifest", type=Path, help="CSV of pictures; left out: the twin's parts")
    p.add_argument("--learn-split", default="calibration", help="split of the manifest to learn from")
    p.add_argument("--split", default="certification", help="split of the manifest to certify on")
    p.add_argument("--learn-parts", type=int, default=12_000)
    p.add_argument("--learn-seed", type=int, default=101)
    p.add_argument("--parts", type=int, default=24_000, help="to certify on")
    p.add_argument("--seed", type=int, default=1, help="of the parts to certify on")
    p.add_argument("--escape-rate", type=float, default=0.001)
    p.add_argument("--confidence", type=float, default=0.95)
    p.add_argument("--overkill", type=float, default=0.02, help="wish; the escape rate comes first")
    p.add_argument("--gate-share", type=float, default=0.9, help="wish; escape rate and overkill come first")
    p.add_argument("--speeds", default="0.3:3.0:0.3", help="steps of the table, m/s")
    p.add_argument(
        "--view", choices=("none", "mirrored", "exposed"), default="mirrored", help="of the retest"
    )
    p.add_argument("--workers", type=int, default=1, help="rendering processes")
    p.add_argument("--cache", type=Path, help="keep predictions in this folder")
    p.add_argument("--picture", type=Path, help="reliability of the scores (SVG or PNG)")
    p.set_defaults(run=_thresholds)
    _add_bench(what)
    return parser


def _add_bench(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = what.add_parser("bench", help="teach a left-out class on data with the truth, and measure")
    p.add_argument("--manifest", type=Path, help="CSV with path, class, split, group")
    p.add_argument("--twin", action="store_true", help="the twin, with a defect nobody was trained on")
    p.add_argument("--leave-out", help=f"class to teach; of the twin one of {', '.join(UNSEEN)}")
    p.add_argument("--samples", type=int, default=10)
    p.add_argument("--runs", type=int, default=3, help="seeds; the median counts, of times the worst")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--engine", default="shipped:classifier", help="of the twin")
    p.add_argument("--work", type=Path, help="keep pictures and proofs here")
    p.add_argument("--report", type=Path)
    p.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    from tools.calibrate.bench import run_bench  # needs onnx, which thresholds do not

    return run_bench(options)


def _thresholds(options: argparse.Namespace) -> int:
    thresholds(options)
    return 0


def main(argv: Sequence[str]) -> int:
    """Status 2 with a message for what cannot be calibrated."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except (EdgeError, ManifestError, _core.CoreError) as error:
        print(f"edge calibrate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
