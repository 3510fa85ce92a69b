"""``python -m calibration``: see ``edge calibrate new-defect --help``."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.errors import EnginesError

_ENOUGH = 0.91
ENGINES = ("shipped:gate", "shipped:classifier")


def _new_defect(options: argparse.Namespace) -> int:
    from calibration.console import told
    from calibration.desk import Desk
    from calibration.errors import CalibrationError
    from calibration.lesson import Teaching
    from calibration.wish import Wish
    from calibration.work import WorkFolder
    from engines.give_way import give_way

    begun = time.monotonic()
    give_way(options.memory_mib, idle=options.priority == "idle")
    wish = Wish(
        options.name,
        options.images,
        options.data,
        tuple(options.engine or ENGINES),
        options.why,
        options.seed,
        options.exam_share,
        options.margin,
        options.max_added_ms,
        not options.no_activate,
        options.format,
        options.escape_rate,
        options.confidence,
        options.cache,
    )
    if not 0 < wish.escape_rate < 1 or not 0.5 < wish.confidence < 1:
        raise CalibrationError(
            f"--escape-rate {wish.escape_rate:g} --confidence {wish.confidence:g}: expected above 0 and below 1, and "
            "above 0.5 and below 1, such as 0.001 and 0.95"
        )
    work = WorkFolder(options.work or Path(f"new-defect-{options.name}"))
    with work.held(), told() as say:
        said = Teaching(Desk(wish, work, say)).run(options.step or "activate", again=options.again)
    return _tell(said, work.root, time.monotonic() - begun)


def _tell(said: dict[str, dict[str, Any]], root: Path, seconds: float) -> int:
    for step, what in said.items():
        shown = {key: value for key, value in what.items() if key != "engines"}
        print(f"{step}: {json.dumps(shown)}")
    print(f"{seconds:.0f} s; everything is in {root}")
    if "prove" not in said:
        return 0
    if not said["prove"]["thresholds"].get("holds"):
        print("thresholds: not certified as asked; what these parts support is in proof.md")
    print(f"proof: {root / 'proof.md'}, {root / 'proof.png'}")
    found = {role: engine["new_recall"] for role, engine in said["prove"]["engines"].items()}
    weak = [f"{role} {100 * recall:.0f} %" for role, recall in found.items() if recall < _ENOUGH]
    if weak:
        print(
            f"not enough: {', '.join(weak)} of the new class; wanted {100 * _ENOUGH:.0f} %. Add pictures, or train:"
        )
        print(f"  edge calibrate package {root} --out package.zip")
    if said["prove"]["refused"]:
        print(
            "refused: the engines that are active stay. More pictures may help; else train on a workstation:"
        )
        print(f"  edge calibrate package {root} --out package.zip")
        return 3
    return 0


def _bank(options: argparse.Namespace) -> int:
    from calibration.bank import make_bank
    from calibration.console import told
    from calibration.engines import engine_named
    from calibration.pictures import read_manifest
    from calibration.taps import open_backbone
    from engines.manifest import load_manifest

    backbone = open_backbone(load_manifest(engine_named(options.engine)))
    with told() as say:
        bank = make_bank(backbone, read_manifest(options.data), backbone.manifest.classes, say)
    bank.save(options.out)
    print(f"{len(bank)} pictures, {bank.taps.shape[1]} features each: {options.out}")
    return 0


def _drift(options: argparse.Namespace) -> int:
    from calibration.bank import Bank
    from calibration.drift import compare, propose

    then, today = Bank.load(options.bank), Bank.load(options.live)
    drift = compare(then, today)
    print(drift.in_words())
    if drift.moved:
        chosen = propose(then, today, options.samples)
        text = "path,class\n" + "".join(f"{today.paths[i]},\n" for i in chosen)
        options.out.write_text(text, encoding="utf-8")
        print(f"{len(chosen)} samples to label and recalibrate with: {options.out}")
        return 3
    return 0


def _package(options: argparse.Namespace) -> int:
    from calibration.package import package

    count = package(options.work, options.out)
    print(f"{count} pictures, what was tried, and the commands (README.md): {options.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    from calibration.gather_commands import add_gather_commands
    from engines.give_way import DEFAULT_MEMORY_MIB

    parser = argparse.ArgumentParser(prog="edge calibrate", description="Calibrate what decides about parts.")
    what = parser.add_subparsers(dest="what", required=True)
    p = what.add_parser("new-defect", help="teach a new defect type on this device, prove it, activate it")
    p.add_argument("name", help="of the new class, such as scratch")
    p.add_argument("--images", type=Path, required=True, help="folder of its pictures")
    p.add_argument(
        "--data", type=Path, required=True, help="CSV (path, class, split, group) of the old classes"
    )
    p.add_argument(
        "--engine", action="append", help="shipped:NAME, store:NAME or a manifest; once for each engine"
    )
    p.add_argument("--work", type=Path, help="work folder (default: new-defect-NAME); the same one resumes")
    p.add_argument(
        "--step", help="stop after: collect, check, assist, split, augment, teach, calibrate, prove"
    )
    p.add_argument("--again", action="store_true", help="do that last step again although it is done")
    p.add_argument("--why", default="", help="for the audit")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument(
        "--exam-share", type=float, default=0.0, help="of the new pictures, kept back for the exam"
    )
    p.add_argument("--margin", type=float, default=0.5, help="points that the old classes may lose")
    p.add_argument("--max-added-ms", type=float, help="refuse a candidate that takes so much longer")
    p.add_argument("--escape-rate", type=float, default=0.001, help="that the pair's thresholds shall show")
    p.add_argument("--confidence", type=float, default=0.95)
    p.add_argument("--format", default="", help="of raw mosaics: bayer_rg8")
    p.add_argument("--no-activate", action="store_true", help="end with the proof")
    p.add_argument("--memory-mib", type=int, default=DEFAULT_MEMORY_MIB)
    p.add_argument(
        "--priority",
        choices=("idle", "low"),
        default="idle",
        help="idle: only when nobody wants the processor",
    )
    p.add_argument(
        "--cache", type=Path, help="folder for the features of the old pictures, shared by lessons"
    )
    p.set_defaults(run=_new_defect)
    p = what.add_parser("bank", help="features of pictures, for drift and for replay")
    p.add_argument("--engine", required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.set_defaults(run=_bank)
    p = what.add_parser("drift", help="do live pictures still look like the calibration set?")
    p.add_argument("--bank", type=Path, required=True, help="of the calibration set")
    p.add_argument("--live", type=Path, required=True, help="bank of live pictures")
    p.add_argument("--samples", type=int, default=40)
    p.add_argument("--out", type=Path, default=Path("recalibrate.csv"))
    p.set_defaults(run=_drift)
    p = what.add_parser("package", help="everything a workstation needs for fine-tuning")
    p.add_argument("work", type=Path, help="work folder of new-defect")
    p.add_argument("--out", type=Path, required=True, help="FILE.zip")
    p.set_defaults(run=_package)
    add_gather_commands(what)
    return parser


def main(argv: Sequence[str]) -> int:
    """0: done. 2: cannot be done, with a message. 3: refused by the proof, or drifted."""
    from edge import _core
    from edge.errors import EdgeError

    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except (EdgeError, EnginesError, _core.CoreError) as error:
        print(f"edge calibrate: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(
            f"edge calibrate: {error.name} is not installed; expected: pip install 'edge-inspection[teach]'",
            file=sys.stderr,
        )
    except MemoryError:
        print(
            "edge calibrate: out of memory within --memory-mib; give more, or fewer pictures", file=sys.stderr
        )
    except OSError as error:
        print(
            f"edge calibrate: {error}; the running engines stay: mend it and run the same command again",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print("edge calibrate: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
