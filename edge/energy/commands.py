"""``edge energy``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from edge.config import load_line
from edge.energy.page import page
from edge.energy.report import FIGURES, EnergyReport
from edge.energy.run import Plan, compare_arms
from edge.errors import ConfigError
from edge.service.telemetry.sensors import Sensors
from edge.written import write_told

console = Console()
if not console.is_terminal:
    console = Console(width=110)


def command(
    line: Annotated[Path, typer.Argument(help="Line file with a twin PLC.", metavar="LINE.yaml")],
    *,
    parts: Annotated[int, typer.Option(min=20, help="Parts of each run.")] = 600,
    rounds: Annotated[int, typer.Option(min=1, help="Each round runs all three ways to judge.")] = 3,
    rest: Annotated[float, typer.Option(min=0.4, help="Seconds without a line before each run.")] = 5.0,
    speed: Annotated[float | None, typer.Option(min=0.05, help="m/s, instead of the line file's.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    report: Annotated[Path | None, typer.Option(help="Write the figures.", metavar="FILE.json")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write one page with pictures.", metavar="FILE.html")
    ] = None,
) -> None:
    """Energy of a part: gate and classifier as they are, the classifier alone, the gate alone, on the same parts."""
    for path in (report, html):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{path}: its folder does not exist; make it first")
    plan = Plan(parts=parts, rounds=rounds, rest_s=rest, seed=seed, speed_m_per_s=speed)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    config = load_line(line)
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=1.0)
        found = compare_arms(
            config,
            plan,
            Sensors(),
            lambda text: progress.console.print(text, markup=False),
            lambda name, share: progress.update(task, description=name, completed=share),
        )
    console.print(_table(found))
    for one in found.ratios:
        console.print(
            f"{FIGURES[one.figure]}: {one.arm} over {one.over} {one.ratio.median:.3f} "
            f"({one.ratio.min:.3f} to {one.ratio.max:.3f})"
        )
    if found.throttled:
        console.print(f"clocks held down meanwhile: {'; '.join(found.throttled)}", markup=False)
    write_told(console, report, found.model_dump_json(indent=1) + "\n")
    write_told(console, html, page(found))


def _table(report: EnergyReport) -> Table:
    rounds = len(report.runs) // len(report.arms)
    table = Table(
        title=f"{report.line} at {report.m_per_s:g} m/s, rails {', '.join(report.rails)}; median of {rounds}",
        title_justify="left",
    )
    for heading in ("", "engines, ms", *FIGURES.values(), "pass", "reject", "late"):
        table.add_column(heading, justify="right" if heading else "left")
    for arm, spans in report.arms.items():
        last = [run for run in report.runs if run.arm == arm][-1]
        joules = (f"{spans[key].median:.4f}" for key in FIGURES)
        verdicts = (str(last.verdicts.get(name, 0)) for name in ("pass", "reject"))
        table.add_row(arm, f"{last.engine_ms:.2f}", *joules, *verdicts, str(last.late))
    return table
