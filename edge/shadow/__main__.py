"""``python -m edge.shadow``: see ``edge calibrate shadow --help`` and ``watch --help``."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from edge import _core
from edge.config import engine_path
from edge.errors import ConfigError, EdgeError, RecordError
from edge.inspection.recipe import Recipe
from edge.shadow.agreement import Agreement, Claim, Kind
from edge.shadow.candidate import Candidate
from edge.shadow.follow import Followed, Seen, follow, keep_off
from edge.shadow.keep_watch import watch
from edge.shadow.kept import Kept
from edge.shadow.report import ShadowReport, as_html, make_report
from edge.yaml_file import load_yaml
from engines.console import progress
from engines.errors import EnginesError
from engines.give_way import DEFAULT_MEMORY_MIB, give_way
from engines.whole_file import write_whole

_TOLD_EVERY_S = 10.0
NOT_PASSED = 3


def _engines(options: argparse.Namespace, line: Followed) -> tuple[Path, Path | None]:
    """The candidate's manifests: given ones, those of a lesson, else the line's own."""
    found: dict[str, Path | None] = {"gate": line.config.gate, "classifier": line.config.classifier}
    if options.work is not None:
        taught = {role: options.work / f"candidate/{role}.yaml" for role in found}
        if not any(path.is_file() for path in taught.values()):
            raise ConfigError(
                f"{options.work}: no candidate in it; expected the work folder of 'edge calibrate new-defect' after "
                "its step prove"
            )
        found |= {role: path for role, path in taught.items() if path.is_file()}
    found |= {role: engine_path(text) for role in found if (text := getattr(options, role))}
    gate = found["gate"]
    assert gate is not None
    if (gate, found["classifier"]) == (line.config.gate, line.config.classifier) and options.recipe is None:
        raise ConfigError(
            "no candidate given: line and shadow would be the same; expected --work, --gate, --classifier or --recipe"
        )
    return gate, found["classifier"]


def shadow(options: argparse.Namespace) -> int:
    """Follows the line, writes the report; 0: passed."""
    claim = Claim(options.softer, options.harder, options.confidence)
    if not (0 < claim.softer < 1 and 0 < claim.harder < 1 and 0.5 < claim.confidence < 1):
        raise ConfigError(
            f"--softer {claim.softer:g} --harder {claim.harder:g} --confidence {claim.confidence:g}: expected shares "
            "above 0 and below 1, and a confidence above 0.5 and below 1"
        )
    if not 0 < options.share <= 1 or options.keep < 0:
        raise ConfigError(
            f"--share {options.share:g} --keep {options.keep}: expected above 0 to 1, and 0 or more"
        )
    line = Followed.attach(options.line)
    recipe = load_yaml(options.recipe, Recipe) if options.recipe else None
    gate, classifier = _engines(options, line)
    give_way(options.memory_mib, idle=options.priority == "idle")
    keep_off(line.config.loop_cpu)
    candidate = Candidate(line.config, gate, classifier, recipe)
    if (options.out / "shadow.json").exists():
        raise ConfigError(
            f"{options.out}: holds a shadow run already; give another --out, or remove that one"
        )
    kept = Kept(options.out / "pictures", options.keep)
    wanted = options.parts or max(1000, claim.needed)
    with progress() as bar:
        over = _Over(wanted, options.minutes * 60, bar)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: over.ask())
        agreement, seen = follow(line, candidate, kept, share=options.share, over=over)
    report = make_report(options.line, candidate, agreement, seen, claim)
    _write(options.out, report, kept)
    _tell(report, options.out)
    return NOT_PASSED if report.refused else 0


class _Over:
    """When it is enough; tells how far it is."""

    def __init__(self, parts: int, limit_s: float, bar: object) -> None:
        self._parts, self._end_s, self._bar = parts, time.monotonic() + limit_s, bar
        self._told_s = time.monotonic()
        self._asked = False

    def ask(self) -> None:
        """Ctrl-C: what there is counts."""
        self._asked = True

    def __call__(self, agreement: Agreement, seen: Seen) -> bool:
        """True ends the run."""
        now = time.monotonic()
        if callable(self._bar):
            self._bar("shadow", min(1.0, agreement.parts / self._parts))
        if not sys.stdout.isatty() and now - self._told_s > _TOLD_EVERY_S:
            self._told_s = now
            print(f"… {agreement.parts} of {self._parts} parts, {seen.skipped} skipped", flush=True)
        return self._asked or agreement.parts >= self._parts or now >= self._end_s


def _write(out: Path, report: ShadowReport, kept: Kept) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        kept.write_index()
        write_whole(out / "shadow.html", as_html(report, kept))
        write_whole(out / "shadow.json", report.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise RecordError(f"{out}: the report cannot be written ({error.strerror}); make room") from error


def _tell(report: ShadowReport, out: Path) -> None:
    for a, b, count in report.table:
        print(f"{count:7d}  line {a:24s} candidate {b}")
    kinds = ", ".join(f"{report.kinds.get(kind.value, 0)} {kind.value}" for kind in Kind)
    print(f"{report.parts} parts compared: {kinds}")
    print(
        f"{report.skipped} skipped, {report.not_judged} not judged by the line, {report.overwritten} overwritten; "
        f"{report.overruns_of_the_line} overruns of the line meanwhile"
    )
    print("\n".join(f"not passed: {why}" for why in report.refused) or "passed")
    print(f"report: {out / 'shadow.html'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge calibrate", description="A candidate beside the running line."
    )
    what = parser.add_subparsers(dest="what", required=True)
    p = what.add_parser("shadow", help="a candidate judges live parts, without acting")
    p.add_argument("--line", required=True, help="name or folder of the running line")
    p.add_argument("--work", type=Path, help="work folder of new-defect: its candidates")
    p.add_argument("--gate", help="manifest, shipped:NAME or store:NAME, in place of the line's")
    p.add_argument("--classifier", help="the same")
    p.add_argument("--recipe", type=Path, help="thresholds in place of the line's")
    p.add_argument("--out", type=Path, default=Path("shadow"), help="folder for report and pictures")
    p.add_argument("--parts", type=int, default=0, help="to compare (default: 1000, or what the claim needs)")
    p.add_argument("--minutes", type=float, default=60.0, help="at most")
    p.add_argument(
        "--softer", type=float, default=0.01, help="share that it may pass although the line rejects"
    )
    p.add_argument(
        "--harder", type=float, default=0.05, help="share that it may reject although the line passes"
    )
    p.add_argument("--confidence", type=float, default=0.95)
    p.add_argument("--share", type=float, default=0.25, help="of one processor, at most")
    p.add_argument("--keep", type=int, default=60, help="pictures of disagreements, at most")
    p.add_argument("--memory-mib", type=int, default=DEFAULT_MEMORY_MIB)
    p.add_argument("--priority", choices=("idle", "low"), default="idle", help="low: also on a busy machine")
    p.set_defaults(run=shadow)
    _add_watch(what)
    return parser


def _add_watch(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = what.add_parser(
        "watch", help="after an activation: engines that leave the range of their shadow run go"
    )
    p.add_argument("--line", required=True, help="name or folder of the running line")
    p.add_argument("--shadow", type=Path, required=True, help="shadow.json of these engines")
    p.add_argument("--engine", action="append", help="name in the engine store, once for each of the pair")
    p.add_argument("--window", type=int, default=200, help="parts that are looked at together")
    p.add_argument("--false-alarm", type=float, default=0.001, help="probability of one, in all its life")
    p.add_argument("--alarm", type=Path, default=Path("alarm.json"), help="written when it is left")
    p.add_argument("--memory-mib", type=int, default=DEFAULT_MEMORY_MIB)
    p.add_argument("--priority", choices=("idle", "low"), default="idle", help="low: also on a busy machine")
    p.set_defaults(run=watch)


def main(argv: Sequence[str]) -> int:
    """0: passed. 2: cannot be done, with a message. 3: not passed. 4: engines were taken back."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except (EdgeError, EnginesError, _core.CoreError) as error:
        print(f"edge calibrate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
