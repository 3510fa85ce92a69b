"""``edge service``: what the units call, and the state of a line."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from edge.service.prepare import prepare
from edge.service.run_role import run_role
from edge.service.state import SERVICES, LineState, find_folder, look

app = typer.Typer(no_args_is_help=True, help="The processes of a line as services of the system.")

Folder = Annotated[
    Path | None, typer.Option("--folder", help="Where its processes meet; default: /run/edge/NAME.")
]


@app.command("prepare")
def prepare_line(
    line: Annotated[Path, typer.Argument(help="Line file.", metavar="LINE.yaml")], folder: Folder = None
) -> None:
    """Check a line file and make the region, the ring and the configurations that its processes attach to."""
    made = prepare(line, folder or SERVICES / line.stem)
    print(f"line '{made.name}' is prepared in {folder or SERVICES / line.stem}")


@app.command("run")
def run_one(
    role: Annotated[str, typer.Argument(help="actuation, inspection, camera or report.")],
    line: Annotated[str, typer.Argument(help="Name of a prepared line, or its folder.")],
) -> None:
    """Run one process of a prepared line; this is what the units start."""
    run_role(role, find_folder(line))


@app.command("status")
def status(
    line: Annotated[str, typer.Argument(help="Name of a running line, or its folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """How a running line is; exit code 1 when it is not healthy. Serves as the health check of containers."""
    state = look(find_folder(line))
    if as_json:
        print(state.model_dump_json(indent=2))
    else:
        Console().print(_table(state))
    raise typer.Exit(int(not state.healthy))


def _table(state: LineState) -> Table:
    table = Table(
        title=f"{state.name}: {'healthy' if state.healthy else 'not healthy'}", title_justify="left"
    )
    table.add_column("")
    table.add_column("", overflow="fold")
    rows = state.model_dump(mode="json", exclude={"name", "healthy", "faults", "beat_age_ms"})
    for key, value in rows.items():
        table.add_row(key.replace("_", " "), str(value))
    for role, age_ms in state.beat_age_ms.items():
        table.add_row(f"{role} beat", f"{age_ms:g} ms ago")
    for fault in state.faults:
        table.add_row("[yellow]look[/]", fault)
    return table
