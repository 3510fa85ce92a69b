"""``edge route``: why a part got its verdict, and releasing a held line."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge import _core
from edge._core import Verdict
from edge.config import engine_path
from edge.errors import EdgeError, RecordError
from edge.inspection.explain import explain_part
from edge.records.recorded import INDEX_NAME, RecordedLine
from edge.records.recording import part_fields
from engines.errors import ManifestError
from engines.manifest import load_manifest

app = typer.Typer(no_args_is_help=True, help="Routing: why a part got its verdict; releasing a held line.")

Fields = Mapping[str, Any]


@app.command()
def explain(
    record: Annotated[
        Path, typer.Argument(help="A recording (edge run --record), or the ring file of part records.")
    ],
    part: Annotated[
        int | None, typer.Option(min=1, help="Id of the part; left out: the last reject.")
    ] = None,
) -> None:
    """Show every number that led to a part's verdict."""
    parts, classes = _parts_of(record)
    fields = _chosen(record, parts, part)
    table = Table(title=f"part {fields['part_id']}", show_header=False, width=None)
    for stage, said in explain_part(fields, classes):
        table.add_row(stage, said)
    Console(width=None if Console().is_terminal else 130).print(table)


@app.command()
def release(
    name: Annotated[str, typer.Argument(help="Name of the running line, as in its line file.")],
) -> None:
    """Release a line that a decision rule holds: READY comes back."""
    from edge.line import run_folder

    path = run_folder(name) / "region"
    if not path.exists():
        raise EdgeError(f"line '{name}' is not running here (no {path}); expected the name of a running line")
    status = _core.Region.attach(str(path)).status
    held = status.holds_wanted - status.holds_released
    status.holds_released = status.holds_wanted
    Console().print(f"{held} hold(s) released" if held else "the line was not held")


def _parts_of(path: Path) -> tuple[list[Fields], tuple[str, ...]]:
    if (path / INDEX_NAME).is_file():
        recorded = RecordedLine.load(path)
        return [part.fields for part in recorded.parts], _classes(recorded.line)
    if not path.is_file():
        raise RecordError(
            f"{path}: neither a recording nor a ring file; expected a folder that --record made, or records.ring_path"
        )
    return list(_ring(path)), ()


def _ring(path: Path) -> Iterator[Fields]:
    reader = _core.RecordRing.attach(str(path)).reader(oldest=True)
    while len(records := reader.read(1024)):
        for record in records:
            yield part_fields(record)


def _classes(line: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the classes, as long as the gate is still where it was."""
    try:
        return load_manifest(engine_path(line["engines"]["gate"])).classes
    except (ManifestError, EdgeError, KeyError):
        return ()


def _chosen(path: Path, parts: Iterable[Fields], part: int | None) -> Fields:
    chosen = None
    for fields in parts:
        if (fields["verdict"] == Verdict.REJECT) if part is None else (fields["part_id"] == part):
            chosen = fields
    if chosen is None:
        wanted = "a rejected part" if part is None else f"part {part}"
        raise RecordError(f"{path}: {wanted} is not in it; give --part with the id of one that is")
    if "looks" not in chosen:
        raise RecordError(f"{path}: made by an older runtime, which kept too little; record it again")
    return chosen
