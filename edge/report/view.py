"""The live terminal view of a line."""

from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge._core import LoopState, Verdict
from edge.inspection.certificate import HOLDS, NONE
from edge.report.collector import Collector, percentiles
from edge.report.schema import Drift, RunReport

if TYPE_CHECKING:
    from edge.line import RunningLine

_BAR = 44
_STYLE = {Verdict.PASS: "green", Verdict.REJECT: "red", Verdict.NO_PART: "yellow"}


def latency_bar(latency_ms: float, budget_ms: float, width: int = _BAR) -> Text:
    """The latency against its budget: green up to two thirds, yellow up to the budget, red beyond."""
    share = latency_ms / budget_ms if budget_ms > 0 else 1.0
    filled = min(width, round(share * width))
    style = "green" if share <= 2 / 3 else "yellow" if share <= 1 else "red"
    bar = Text("█" * filled, style=style) + Text("░" * (width - filled), style="dim")
    return bar + Text(f" {latency_ms:6.2f} / {budget_ms:.1f} ms")


def live_view(running: "RunningLine", expected: int | None) -> RenderableType:
    """What the operator sees while the line runs; ``expected`` is the number of parts to come, if known."""
    status, collector, seconds = running.status, running.collector, running.seconds
    classes = running.manifest.classes
    state = LoopState(status.loop_state)
    doubt = "" if running.certificate in (NONE, HOLDS) else "   certificate does not hold"
    ready = bool(status.line_ready)
    header = Text.assemble(
        (f" {running.config.name} ", "bold reverse"),
        "  ",
        ("READY" if ready else "NOT READY", "bold green" if ready else "bold red"),
        f"   inspection {state.name.lower()}   PLC {'connected' if status.plc_connected else 'away'}"
        f"   belt {status.speed_um_per_s / 1e6:.2f} m/s",
        (doubt, "bold red"),
    )
    done = f"{collector.parts}" + (f" / {expected}" if expected else "")
    rate = collector.parts / seconds if seconds > 0 else 0.0
    counts = Table.grid(padding=(0, 3))
    counts.add_row(
        f"parts [bold]{done}[/]  {rate:.1f}/s",
        *(
            f"[{style}]{verdict.name.lower()} {collector.verdicts[verdict]}[/]"
            for verdict, style in _STYLE.items()
        ),
        f"overruns {collector.overruns}",
        f"gate {100 * (collector.gate_share or 0):.0f} %",
    )
    times = percentiles(collector.latency)
    budget_ms = collector.budget_span().max or 15.0
    bars = Table.grid(padding=(0, 2))
    bars.add_row("latency now", latency_bar(collector.last_latency_ns / 1e6, budget_ms))
    bars.add_row("p50", latency_bar(times.p50 or 0.0, budget_ms))
    bars.add_row("p99", latency_bar(times.p99 or 0.0, budget_ms))
    bars.add_row("max", latency_bar(times.max or 0.0, budget_ms))
    return Panel(
        Group(header, "", counts, "", bars, "", _rejects(collector, classes)), title="edge line", width=92
    )


def _rejects(collector: Collector, classes: tuple[str, ...]) -> Table:
    table = Table(box=None, title="last rejects", title_justify="left", header_style="dim")
    for column in ("part", "reason", "class", "confidence", "latency ms"):
        table.add_column(column, justify="right" if column != "reason" else "left")
    for reject in reversed(collector.last_rejects):
        judged = reject.reason in ("defect", "uncertain", "no_time", "overrun")
        table.add_row(
            str(reject.part_id),
            reject.reason,
            classes[reject.class_id] if judged and reject.class_id < len(classes) else "–",
            f"{reject.confidence:.3f}",
            "–" if reject.latency_ms is None else f"{reject.latency_ms:.2f}",
        )
    return table


_NOTABLE_EV = 0.3
_NOTABLE_SHARPNESS = 0.7


def _drift_text(drift: Drift) -> str:
    ev, ratio = drift.furthest_ev or 0.0, drift.sharpness_lowest_ratio
    text = f"mean {drift.brightness_first:.0f} → {drift.brightness_now:.0f}, furthest drift {ev:+.2f} EV"
    if ratio is not None:
        text += f", sharpness down to {100 * ratio:.0f} %"
    notable = abs(ev) > _NOTABLE_EV or (ratio is not None and ratio < _NOTABLE_SHARPNESS)
    return f"[yellow]{text}: look at lamp and lens[/]" if notable else text


def print_summary(console: Console, report: RunReport) -> None:
    """The end of a run, for people."""
    v, t, b = report.verdicts, report.truth, report.bins
    table = Table(
        title=f"{report.line}: {report.parts} parts in {report.seconds:.1f} s", show_header=False, width=92
    )
    table.add_row("verdicts", f"pass {v.pass_}   reject {v.reject}   no part {v.no_part}")
    table.add_row("reasons", "   ".join(f"{k} {n}" for k, n in sorted(report.reasons.items())) or "none")
    if t.known:
        table.add_row(
            "truth",
            f"defective {t.defective}   good {t.good}   escapes {t.escapes}   overkills {t.overkills}",
        )
        table.add_row("bins", f"right {b.right}   wrong {b.wrong}   missed {b.missed}   unknown {b.unknown}")
    for label, p in (
        ("latency", report.latency_ms),
        ("engines", report.engine_ms),
        ("runtime tax", report.runtime_tax_ms),
        ("trigger → ack", report.trigger_to_ack_ms),
    ):
        if p.p50 is not None:
            table.add_row(
                f"{label} ms", f"p50 {p.p50:.2f}   p99 {p.p99:.2f}   p99.9 {p.p99_9:.2f}   max {p.max:.2f}"
            )
    if report.gate_share is not None:
        table.add_row("gate settled", f"{100 * report.gate_share:.1f} %   overruns {report.overruns}")
    if report.drift.drift_ev is not None:
        table.add_row("light", _drift_text(report.drift))
    table.add_row("certificate", report.certificate)
    plc = report.plc
    table.add_row("PLC", f"writes {plc.writes}   unconfirmed {plc.unconfirmed}   reconnects {plc.reconnects}")
    table.add_row("records", f"lost {report.lost_records}   frames dropped {report.frames_dropped}")
    console.print(table)
