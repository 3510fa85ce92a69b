"""``edge engines plan | calibrate | report``: from a float ONNX and pictures to INT8, measured."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path

from edge.errors import EdgeError
from engines.calibration_set import BANDS, EXPOSURE_SHARE, band_of
from engines.console import console, progress
from engines.entropy import METHODS
from engines.errors import CalibrationError, EnginesError
from engines.precision import PrecisionPlan, load_plan, plan_yaml
from engines.qdq import dead_channels
from engines.quantize import int8_graphs
from engines.scales import Scales, cache_text
from engines.sensitivity import Exam as PlanExam
from engines.sensitivity import measure_layers, propose
from engines.whole_file import write_whole
from tools.quantise.calibrate import (
    Calibrated,
    Exam,
    Tried,
    calibrated,
    choice_exam,
    compare_methods,
    exam_of,
)
from tools.quantise.data import Say, Sets, all_of, manifest_sets, twin_sets
from tools.quantise.engine import engine_manifest
from tools.quantise.picture import draw_calibration, draw_plan, draw_report
from tools.quantise.report import make_report
from tools.quantise.subject import NORMALISATIONS, Subject, open_subject
from tools.quantise.tables import tell_methods, tell_plan, tell_report
from tools.twin.parts import DEFAULT_LOOK, METAL, PLAIN

_CACHE_VERSION = "8502"
"""TensorRT's four digits in the cache; ``edge engines build`` puts its own release there."""


def main(arguments: list[str] | None = None) -> None:
    """Errors that a user can mend end with their message and status 1."""
    options = _parser().parse_args(arguments)
    try:
        with progress() as say:
            options.job(options, say)
    except (EdgeError, EnginesError, OSError) as error:
        sys.exit(f"engines {options.command}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"engines {options.command}: stopped; nothing was written")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="edge engines", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (job, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(job=job)
        _add_common(command)
        if name == "report":
            command.add_argument("--report", type=Path, required=True, metavar="R.json")
            command.add_argument("--out", type=Path, help="folder of the picture; default: beside the report")
        else:
            command.add_argument("--out", type=Path, required=True, help="folder of what is made")
        if name == "plan":
            command.add_argument(
                "--max-drop",
                type=float,
                default=0.3,
                help="points it may cost; so too of the wrongly exposed",
            )
            command.add_argument(
                "--layer-pictures", type=int, default=32, help="that every layer is asked about"
            )
        else:
            command.add_argument("--plan", type=Path, help="precision plan; default: INT8 with an FP16 head")
        command.add_argument(
            "--method", choices=("auto", *METHODS), default="auto", help="auto: what measures best"
        )
    return parser


def _add_common(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="float32, fixed batch of 1")
    add("--data", required=True, help="twin, or a CSV manifest with path, class, split (train, val, test)")
    add("--prefix", default="", help="only rows of the manifest whose path begins so")
    add("--look", choices=(PLAIN, METAL), default=DEFAULT_LOOK, help="of the twin's parts")
    add("--manifest", type=Path, help="engine manifest: classes, input, decoder of a detector")
    add("--normalise", choices=sorted(NORMALISATIONS), default="twin", help="what the model was trained with")
    add("--resize", choices=("area", "bilinear"), default="area")
    add("--pictures", type=_count, default=500, help="of the calibration set")
    add("--exposure-share", type=_share, default=EXPOSURE_SHARE, help="of it, exposed wrongly")
    add("--choice-pictures", type=_count, default=800, help="that methods and plans are chosen by")
    add("--exam-pictures", type=_count, default=2000, help="at most, of the report")
    add("--seed", type=int, default=1)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text}: expected a number of pictures, at least 1")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 0.5:
        raise ArgumentTypeError(f"{text}: expected a share from 0 to 0.5")
    return share


def plan(options: Namespace, say: Say) -> None:
    """Layer by layer, then whole plans; writes plan.yaml, plan.json, plan.png."""
    subject, data = _open(options)
    seen = _calibrated(subject, data, options, say)
    exam = choice_exam(subject, data, options.choice_pictures, options.seed, say)
    base, tried = _method(subject, seen, options, lambda: exam, say)
    scales = seen.observed.scales(base.calibration)
    layers = measure_layers(
        subject.model, base.resolve(subject.model), scales, exam.inputs[: options.layer_pictures], say
    )
    if not layers:
        raise CalibrationError(
            f"{options.model}: no convolution with constant weights; there is nothing to quantise"
        )
    bands = band_of(exam.pictures.exposure_ev)
    groups = {f"{band}exposed": bands == index for index, band in enumerate(BANDS) if band != "usual"}
    wanted = PlanExam(exam.inputs, exam.judge, options.max_drop, groups)
    proposal = propose(subject.model, base, scales, layers, exam=wanted, say=say)
    options.out.mkdir(parents=True, exist_ok=True)
    draw_plan(
        proposal, options.out / "plan.png", f"{options.model.name}, {exam.judge.measure} on {data.name}"
    )
    facts = {
        "measure": exam.judge.measure,
        "pictures": len(exam.inputs),
        "data": data.name,
        **asdict(proposal),
    }
    facts["plan"] = proposal.plan.model_dump(mode="json", by_alias=True)
    write_whole(
        options.out / "plan.json", json.dumps({**facts, "methods": [asdict(t) for t in tried]}, indent=1)
    )
    write_whole(options.out / "plan.yaml", plan_yaml(proposal.plan))
    tell_methods(tried)
    tell_plan(proposal, exam.judge.measure)
    console.print(f"plan: {options.out / 'plan.yaml'}")


def calibrate(options: Namespace, say: Say) -> None:
    """Writes scales.json, calibration.cache, qdq.onnx, u8s8.onnx, plan.yaml, calibration.json, calibration.png.

    With ``--manifest`` u8s8.yaml too.
    """
    subject, data = _open(options)
    seen = _calibrated(subject, data, options, say)
    exam = cache(_chooser(subject, data, options, say))
    chosen, tried = _method(subject, seen, options, exam, say)
    scales = seen.observed.scales(chosen.calibration)
    graphs = int8_graphs(subject.model, chosen, scales)
    engine = subject.manifest and engine_manifest(
        subject, subject.manifest, graphs.u8s8, exam(), file="u8s8.onnx", seed=options.seed
    )
    options.out.mkdir(parents=True, exist_ok=True)
    draw_calibration(
        seen.coverage, tried, options.out / "calibration.png", f"{options.model.name}, {data.name}"
    )
    facts = {
        "model": options.model.name,
        "data": data.name,
        "seconds": seen.seconds,
        "coverage": asdict(seen.coverage),
        "methods": [asdict(item) for item in tried],
        "chosen": chosen.calibration,
        "dead_tensors": list(scales.dead),
        "dead_channels": dead_channels(subject.model),
        "activations": _activations(scales),
    }
    for name, content in {
        "calibration.json": json.dumps(facts, indent=1),
        "plan.yaml": plan_yaml(chosen),
        "scales.json": scales.to_json(),
        "calibration.cache": cache_text(scales, _CACHE_VERSION),
        "qdq.onnx": graphs.qdq.SerializeToString(),
        "u8s8.onnx": graphs.u8s8.SerializeToString(),
        **({"u8s8.yaml": engine} if engine else {}),
    }.items():
        write_whole(options.out / name, content)
    console.print(f"calibration set: {seen.coverage.table()}")
    tell_methods(tried)
    console.print(
        f"{chosen.calibration} from {seen.observed.pictures} pictures in {seen.seconds:.0f} s: {options.out}"
    )


def report(options: Namespace, say: Say) -> None:
    """Plan, calibration with and without exposure samples, and an examination on pictures that chose nothing."""
    if not options.report.parent.is_dir():
        raise CalibrationError(f"{options.report}: its folder does not exist; make it first")
    subject, data = _open(options)
    seen = _calibrated(subject, data, options, say)
    without = calibrated(subject, data, say, pictures=options.pictures, seed=options.seed, exposure_share=0)
    chosen, tried = _method(subject, seen, options, _chooser(subject, data, options, say), say)
    exam = exam_of(subject, data.exam, all_of(data.exam, options.exam_pictures, options.seed), say)
    say("examine", 0.0)
    found, _ = make_report(subject, chosen, (seen, without), exam, tried=tried, data=data.name)
    draw_report(
        found.by_exposure, (options.out or options.report.parent) / f"{options.report.stem}.png", found.model
    )
    write_whole(options.report, json.dumps(asdict(found), indent=1) + "\n")
    tell_report(found)
    console.print(f"report: {options.report}")


_COMMANDS: dict[str, tuple[Callable[[Namespace, Say], None], str]] = {
    "plan": (plan, "Measure every layer's sensitivity and propose a precision plan."),
    "calibrate": (calibrate, "Calibrate, and write scales, cache and both INT8 graphs."),
    "report": (report, "Measure what INT8 costs and wins, on pictures that chose nothing."),
}


def _open(options: Namespace) -> tuple[Subject, Sets]:
    subject = open_subject(options.model, options.manifest, options.normalise, options.resize)
    if options.data == "twin":
        most = max(options.choice_pictures, options.exam_pictures)
        return subject, twin_sets(options.pictures, most, options.seed, options.look)
    return subject, manifest_sets(Path(options.data), options.prefix, subject.classes, options.pictures)


def _chooser(subject: Subject, data: Sets, options: Namespace, say: Say) -> Callable[[], Exam]:
    return lambda: choice_exam(subject, data, options.choice_pictures, options.seed, say)


def _calibrated(subject: Subject, data: Sets, options: Namespace, say: Say) -> Calibrated:
    seen = calibrated(
        subject,
        data,
        say,
        pictures=options.pictures,
        seed=options.seed,
        exposure_share=options.exposure_share,
    )
    if dead := dead_channels(subject.model):
        console.print(f"[yellow]dead channels (all weights zero): {dead}; they stay zero in INT8[/]")
    return seen


def _method(
    subject: Subject, seen: Calibrated, options: Namespace, exam: Callable[[], Exam], say: Say
) -> tuple[PrecisionPlan, list[Tried]]:
    """The plan with its method: as typed, else as the given plan says, else what measures best."""
    given = getattr(options, "plan", None)
    base = load_plan(given) if given else PrecisionPlan()
    base.resolve(subject.model)
    if options.method != "auto":
        return base.model_copy(update={"calibration": options.method}), []
    if given:
        return base, []
    tried = compare_methods(subject, base, seen.observed, exam(), say)
    return base.model_copy(update={"calibration": tried[0].method}), tried


def _activations(scales: Scales) -> list[dict[str, object]]:
    return [
        {"tensor": name, "low": item.low, "high": item.high, "clips_at": item.amax}
        for name, item in scales.ranges.items()
    ]


if __name__ == "__main__":
    main()
