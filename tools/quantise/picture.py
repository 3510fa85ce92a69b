"""What people would rather see: layers and plans, coverage and methods, drops over exposure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engines.calibration_set import BANDS, Coverage
from engines.sensitivity import Proposal
from tools.quantise.calibrate import Tried
from tools.quantise.report import Exposed
from tools.training.pictures import new_figure, save_figure

_BAND_COLOURS = ("tab:blue", "tab:green", "tab:orange")


def draw_plan(proposal: Proposal, path: Path, title: str) -> None:
    """Left: every layer's noise; right: what whole plans cost."""
    figure, (left, right) = new_figure(12, 4.5, ncols=2, width_ratios=(2, 1))
    order = sorted(range(len(proposal.layers)), key=lambda i: proposal.layers[i].sqnr_db)
    lifted = proposal.chosen.lifted
    colours = ["tab:orange" if place < lifted else "tab:blue" for place in range(len(order))]
    left.bar(range(len(order)), [proposal.layers[i].sqnr_db for i in order], color=colours)
    left.set_xlabel("layers, the most sensitive first (orange: stays FP16)")
    left.set_ylabel("signal over error of the output, dB,\nonly this layer INT8")
    counts = [step.lifted for step in proposal.steps]
    drops = [step.drop for step in proposal.steps]
    spread = [[d.points - d.low for d in drops], [d.high - d.points for d in drops]]
    right.errorbar(
        range(len(counts)), [d.points for d in drops], yerr=np.maximum(spread, 0), fmt="o-", capsize=4
    )
    right.set_xticks(range(len(counts)), [str(count) for count in counts])
    right.set_xlabel("layers kept at FP16")
    right.set_ylabel("drop, points (95 %)")
    right.axhline(0, color="grey", linewidth=0.8)
    figure.suptitle(title)
    save_figure(figure, path)


def draw_calibration(coverage: Coverage, tried: Sequence[Tried], path: Path, title: str) -> None:
    """Classes by exposure, grey levels, and the drop of every method."""
    figure, (classes, grey, methods) = new_figure(14, 4, ncols=3)
    table, floor = np.array(coverage.counts), np.zeros(len(coverage.classes))
    for band, colour, column in zip(BANDS, _BAND_COLOURS, table.T, strict=True):
        classes.barh(coverage.classes, column, left=floor, color=colour, label=band)
        floor = floor + column
    classes.legend(fontsize=8)
    classes.set_xlabel("pictures")
    bins = np.arange(len(coverage.grey_histogram)) * 256 / len(coverage.grey_histogram)
    grey.bar(bins, coverage.grey_histogram, width=bins[1], align="edge", color="grey")
    grey.set_xlabel("mean grey level of a picture")
    if tried:
        drops = [item.drop for item in tried]
        spread = [[d.points - d.low for d in drops], [d.high - d.points for d in drops]]
        methods.errorbar(
            [item.method for item in tried],
            [d.points for d in drops],
            yerr=np.maximum(spread, 0),
            fmt="o",
            capsize=4,
        )
        methods.axhline(0, color="grey", linewidth=0.8)
        methods.set_ylabel("drop, points (95 %)")
    figure.suptitle(title)
    save_figure(figure, path)


def draw_report(rows: Sequence[Exposed], path: Path, title: str) -> None:
    """Share right over exposure: float, INT8, and INT8 calibrated without exposure samples."""
    figure, axes = new_figure(7, 4)
    names = [row.band for row in rows]
    for name, marker in (("fp32", "s"), ("int8", "o"), ("without_exposure", "x")):
        axes.plot(
            names, [100 * getattr(row, name) for row in rows], marker=marker, label=name.replace("_", " ")
        )
    axes.set_xlabel("exposure, EV")
    axes.set_ylabel("right, %")
    axes.legend()
    axes.set_title(title)
    save_figure(figure, path)
