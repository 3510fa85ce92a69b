"""What the commands say at the end."""

from collections.abc import Sequence

from rich.table import Table

from engines.console import console
from engines.judge import Drop, Measure
from engines.sensitivity import Proposal
from tools.quantise.calibrate import Tried
from tools.quantise.report import Report

_LAYERS_SHOWN = 12


def tell_methods(tried: Sequence[Tried]) -> None:
    """The best first."""
    if not tried:
        return
    table = Table("method", "worse graph", "drop, points (95 %)", "cosine", "max |difference|", "label flips")
    for item in tried:
        found = item.parity
        table.add_row(
            item.method,
            item.graph,
            drop_text(item.drop),
            f"{found.cosine:.5f}",
            f"{found.max_abs:.4g}",
            f"{found.label_flips} of {found.pictures}",
        )
    console.print(table)


def tell_plan(proposal: Proposal, measure: Measure) -> None:
    """The most sensitive layers, then the whole plans that were tried."""
    layers = Table("layer", "weights", "dB, only this one INT8", "plan", title="the most sensitive layers")
    for place, layer in enumerate(proposal.layers[:_LAYERS_SHOWN]):
        kept = "fp16" if place < proposal.chosen.lifted else "int8"
        layers.add_row(layer.name, "×".join(map(str, layer.kernel)), f"{layer.sqnr_db:.1f}", kept)
    console.print(layers)
    groups = list(proposal.chosen.groups)
    steps = Table("layers kept at FP16", f"drop of {measure}, points (95 %)", *groups)
    for step in proposal.steps:
        chosen = " ←" if step == proposal.chosen else ""
        own = (f"{step.groups[name].points:+.2f}" for name in groups)
        steps.add_row(f"{step.lifted} of {len(proposal.layers)}{chosen}", drop_text(step.drop), *own)
    console.print(steps)
    if not proposal.reached:
        console.print(
            "[yellow]no plan with a quarter of the layers lifted reaches --max-drop; this is the best one. Train with "
            "exposures as they come, prune less, or calibrate with more pictures[/]"
        )


def tell_report(found: Report) -> None:
    """Figures, then exposure bands."""
    table = Table(title=f"{found.model} on {found.data}: {found.pictures} pictures, {found.measure}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    gain = Drop(found.exposure_gain_points, *found.exposure_gain_interval)
    worse = "measurably worse" if found.exposure_samples_help else "not measurably worse"
    rows = {
        "float32": f"{found.fp32_accuracy:.2%}",
        "INT8 (the worse graph)": f"{found.int8_accuracy:.2%}",
        "drop, points (95 %)": drop_text(Drop(found.int8_drop_points, *found.int8_drop_interval)),
        "drop without exposure samples": f"{found.without_exposure_drop_points:+.2f}, {worse}",
        "exposure samples win, points (95 %)": drop_text(gain),
        "U8S8 faster than float32, one thread": f"{found.u8s8_speedup:.2f} ×",
        "calibration": f"{found.method}, {found.calibration_pictures} pictures, {found.calibration_seconds:.0f} s",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    for name, parity in found.parity_of.items():
        table.add_row(
            f"{name}: right; cosine; max |difference|; flips",
            f"{found.graphs[name]:.2%}; {parity.cosine:.5f}; {parity.max_abs:.4g}; {parity.label_flips}",
        )
    console.print(table)
    bands = Table("exposure, EV", "pictures", "float32", "INT8", "without exposure samples")
    for row in found.by_exposure:
        shares = (f"{share:.2%}" for share in (row.fp32, row.int8, row.without_exposure))
        bands.add_row(row.band, str(row.pictures), *shares)
    console.print(bands)


def drop_text(drop: Drop) -> str:
    """``+0.10 (-0.08 … +0.31)``."""
    return f"{drop.points:+.2f} ({drop.low:+.2f} … {drop.high:+.2f})"
