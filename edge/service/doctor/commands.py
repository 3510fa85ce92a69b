"""``edge doctor``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from edge.service.doctor.examine import examine
from edge.service.doctor.finding import DoctorReport, Level
from edge.service.doctor.host import Host

_STYLES = {Level.PASS: "green", Level.SKIP: "dim", Level.WARN: "yellow", Level.FAIL: "bold red"}


def doctor(
    line: Annotated[
        Path | None, typer.Argument(help="Look at this line's parts too.", metavar="LINE.yaml")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For fleets; schema: docs/doctor.schema.json.")
    ] = False,
) -> None:
    """Is this machine fit for its line? Tells what is not, and the command that mends it; exit code 1 on a fail."""
    console, progress = Console(), Console(stderr=True)
    if not console.is_terminal:
        console = Console(width=140)
    with progress.status("looking") as status:
        report = examine(Host(), line, lambda name: status.update(f"looking at {name.replace('_', ' ')}"))
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        console.print(_table(report))
    raise typer.Exit(int(report.worst is Level.FAIL))


def _table(report: DoctorReport) -> Table:
    table = Table(title=f"{report.host}: {report.worst.value}", title_justify="left", show_lines=False)
    for heading in ("", "check", "found", "what mends it"):
        table.add_column(heading, overflow="fold")
    for finding in report.findings:
        wanted = f"expected {finding.expected}: {finding.mend}" if finding.mend else ""
        style = _STYLES[finding.level]
        table.add_row(f"[{style}]{finding.level.value}[/]", finding.check, finding.found, wanted)
    return table
