"""Trains networks on the same twin parts and compares them: accuracy, escapes, latency, size, memory, training time,
with the engines that ship beside them;
``python -m tools.compare --models resnet50 mobilenet_v3_small --out docs/models.md``. A killed run goes on when the
same command is started again."""

import json
import os
import platform
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from engines.whole_file import write_whole
from tools.command import repeatable, run_job
from tools.comparison import contestants, figures, page
from tools.comparison.contestants import Settings
from tools.comparison.finished import SHIPPED, Finished, examine
from tools.dataset import TEST
from tools.errors import TrainError
from tools.training.twin_sets import EXTREME_SHARE, twin_set
from tools.training.zoo import NETWORKS
from tools.twin.parts import DEFAULT_LOOK, METAL, PLAIN


def main(arguments: list[str] | None = None) -> None:
    """Command line; errors that a user can mend end with their message and status 1."""
    options = _parser().parse_args(arguments)
    run_job("compare", lambda: run(options), resume="with the network it was at")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m tools.compare", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=sorted(NETWORKS), default=sorted(NETWORKS))
    parser.add_argument(
        "--prune-share", type=float, default=0.28, help="of resnet50's channels; 0: do not prune"
    )
    parser.add_argument("--prune-epochs", type=float, default=0.7, help="of healing after each round")
    parser.add_argument("--parts", type=int, default=14_000)
    parser.add_argument("--test-parts", type=int, default=10_000)
    parser.add_argument("--epochs", type=float, help="for all; default: what suits each network")
    parser.add_argument(
        "--engines",
        nargs="*",
        default=SHIPPED,
        help="finished engines, examined too: manifests, shipped:NAME",
    )
    parser.add_argument("--size", default="192x144", help="WIDTHxHEIGHT of every network's input")
    parser.add_argument("--look", choices=(PLAIN, METAL), default=DEFAULT_LOOK, help="of the twin's parts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--work", type=Path, default=Path("runs/compare"), help="checkpoints, graphs, curves")
    parser.add_argument("--cache", type=Path, help="folder of rendered sets; default: inside --work")
    parser.add_argument("--out", type=Path, help="the page, e.g. docs/models.md; JSON and picture beside it")
    return parser


def run(options: Namespace) -> dict[str, object]:
    """Trains, compares, writes. Raises TrainError, or whatever stops a training."""
    out = options.out or options.work / "models.md"
    if out.suffix != ".md":
        raise TrainError(f"--out {out}: expected the name of a Markdown file, such as docs/models.md")
    settings = Settings(
        size=options.size,
        parts=options.parts,
        test_parts=options.test_parts,
        seed=options.seed,
        look=options.look,
        work=options.work,
        cache=options.cache or options.work / "sets",
        epochs=options.epochs,
        prune_share=options.prune_share,
        prune_epochs=options.prune_epochs,
        threads=options.threads,
    )
    field = [contestants.trained(model, settings) for model in options.models]
    if "resnet50" in options.models and options.prune_share > 0:
        field.append(contestants.pruned(settings))
    width, height = (int(side) for side in options.size.split("x"))
    test = twin_set(
        TEST, options.test_parts, options.seed, (width, height), settings.cache, look=options.look
    )
    found = figures.compare(field, test, lambda text: print(text, flush=True))
    finished = examine(options.engines, settings, lambda text: print(text, flush=True))
    return _write(out, found, finished, settings)


def _write(
    out: Path, found: list[figures.Figures], finished: list[Finished], settings: Settings
) -> dict[str, object]:
    command, picture = repeatable("tools.compare"), out.with_suffix(".png")
    report: dict[str, object] = {
        "command": command,
        "parts": settings.test_parts,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "engines": [asdict(one) | {"macro_f1": one.sight.macro_f1} for one in finished],
        "networks": [asdict(one) | {"macro_f1": one.sight.macro_f1} for one in found],
    }
    conditions = (
        f"{settings.test_parts:,} unseen twin parts, {100 * EXTREME_SHARE:.0f} % of them exposed within ±2 EV; "
        f"all networks at {settings.size}, trained on the same {settings.parts:,} parts. One thread of ONNX Runtime on "
        f"{report['machine']}, all graphs timed in turn."
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    page.draw(found, picture)
    write_whole(out.with_suffix(".json"), json.dumps(report, indent=2) + "\n")
    write_whole(out, page.page(found, finished, command=command, conditions=conditions, picture=picture.name))
    return report


if __name__ == "__main__":
    main()
