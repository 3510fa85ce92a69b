"""``python -m tools.evaluate.picture R1.json R2.json … --out docs/routing.svg``: what routing does over line speed."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from calibration.errors import CalibrationError
from engines.bounds import upper_bound
from tools.evaluate.report import Evaluation
from tools.evaluate.routed import SpeedRow

ESCAPE_LIMIT, OVERKILL_LIMIT, GATE_SHARE_WANTED = 0.001, 0.02, 0.9


@dataclass(frozen=True)
class SpeedSummary:
    """One speed over several runs: totals, and the smallest and largest figure of a run."""

    speed_m_per_s: float
    rows: tuple[SpeedRow, ...]

    def mean(self, name: str) -> float:
        """Over the runs."""
        return sum(float(getattr(row, name)) for row in self.rows) / len(self.rows)

    @property
    def escapes(self) -> int:
        """Of all runs."""
        return sum(row.escapes for row in self.rows)

    @property
    def defective(self) -> int:
        """Of all runs."""
        return sum(row.defective for row in self.rows)

    @property
    def escape_upper(self) -> float:
        """95 %, of all runs together."""
        return upper_bound(self.escapes, self.defective)


def summarise(reports: Sequence[Evaluation]) -> list[SpeedSummary]:
    """By speed. Raises CalibrationError when the reports are of different engines or speeds."""
    if len({tuple(sorted(report.engines.items())) for report in reports}) != 1:
        raise CalibrationError("the reports are of different engines; expected runs of one pair")
    tables = [{row.speed_m_per_s: row for row in report.routing} for report in reports]
    if len({tuple(table) for table in tables}) != 1 or not tables[0]:
        raise CalibrationError(
            "the reports have different speeds, or none; expected the same --speeds in all"
        )
    return [SpeedSummary(speed, tuple(table[speed] for table in tables)) for speed in tables[0]]


def load(path: Path) -> Evaluation:
    """Raises CalibrationError when it is no report of ``edge evaluate``."""
    try:
        return Evaluation.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise CalibrationError(f"{path}: not a report of edge evaluate: {error}") from error


def draw(speeds: Sequence[SpeedSummary], path: Path) -> None:
    """Latency, share, escapes and overkill; SVG or PNG, whole or not at all."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "routing"
    from matplotlib import pyplot as plt

    x = [s.speed_m_per_s for s in speeds]
    figure, ((latency, share), (escapes, overkill)) = plt.subplots(2, 2, figsize=(11, 7.5), sharex=True)
    latency.plot(x, [s.mean("budget_ms") for s in speeds], color="0.6", label="budget")
    latency.plot(x, [s.mean("latency_p999_ms") for s in speeds], "v--", label="engines, p99.9")
    latency.plot(x, [s.mean("latency_ms") for s in speeds], "o-", label="engines, mean")
    latency.set(title="latency", ylabel="ms", ylim=(0, None))
    share.plot(x, [100 * s.mean("gate_share") for s in speeds], "o-", label="settled by the gate")
    share.plot(x, [100 * s.mean("no_time_share") for s in speeds], "v--", label="rejected for want of time")
    share.axhline(100 * GATE_SHARE_WANTED, color="0.6", label="wanted of the gate")
    share.set(title="share of the parts", ylabel="%", ylim=(0, 101))
    escapes.plot(x, [100 * s.escape_upper for s in speeds], "v--", label="upper bound, 95 %")
    escapes.plot(x, [100 * s.escapes / max(1, s.defective) for s in speeds], "o-", label="escaped")
    escapes.axhline(100 * ESCAPE_LIMIT, color="tab:red", label="limit")
    escapes.set(title="escapes, of the defective parts", ylabel="%", xlabel="line speed, m/s", ylim=(0, None))
    for name, values in (("lowest", min), ("highest", max)):
        overkill.plot(
            x,
            [100 * values(row.overkill_rate for row in s.rows) for s in speeds],
            ":",
            color="tab:blue",
            label=f"{name} of the runs",
        )
    overkill.plot(x, [100 * s.mean("overkill_rate") for s in speeds], "o-", color="tab:blue", label="mean")
    overkill.axhline(100 * OVERKILL_LIMIT, color="tab:red", label="wanted at 1.2 m/s")
    overkill.set(title="overkill, of the good parts", ylabel="%", xlabel="line speed, m/s", ylim=(0, None))
    for axis in (latency, share, escapes, overkill):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    part = path.with_name("part-" + path.name)
    figure.savefig(part, metadata={"Date": None} if path.suffix == ".svg" else None)
    part.replace(path)
    plt.close(figure)


def markdown(speeds: Sequence[SpeedSummary]) -> str:
    """The same as a table."""
    lines = [
        "| m/s | budget ms | gate settles | engines, of classifier for all | accuracy, hybrid / classifier | escapes "
        "| ≤ (95 %) | overkill | no time |",
        "| --- " * 9 + "|",
    ]
    for s in speeds:
        kills = [row.overkill_rate for row in s.rows]
        lines.append(
            f"| {s.speed_m_per_s:g} | {s.mean('budget_ms'):.1f} | {100 * s.mean('gate_share'):.1f} % | "
            f"{100 * s.mean('mean_engine_ratio'):.1f} % | {100 * s.mean('accuracy'):.2f} / "
            f"{100 * s.mean('classifier_accuracy'):.2f} % | "
            f"{s.escapes} of {s.defective} | {100 * s.escape_upper:.4f} % | "
            f"{100 * s.mean('overkill_rate'):.2f} % ({100 * min(kills):.2f}–{100 * max(kills):.2f}) | "
            f"{100 * s.mean('no_time_share'):.2f} % |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Status 2 with a message for reports that do not belong together."""
    parser = argparse.ArgumentParser(prog="tools.evaluate.picture", description=__doc__)
    parser.add_argument("reports", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    try:
        speeds = summarise([load(path) for path in options.reports])
        draw(speeds, options.out)
    except (CalibrationError, OSError) as error:
        print(f"picture: {error}", file=sys.stderr)
        return 2
    print(markdown(speeds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
