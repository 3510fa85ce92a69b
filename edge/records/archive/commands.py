"""``edge archive``: the pictures of parts, found by what was said of them."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from edge.config import load_line
from edge.errors import RecordError
from edge.records.archive.choice import WHY
from edge.records.archive.names import Picture
from edge.records.archive.settings import archive_folder
from edge.records.journal.commands import LineFile, Part, ReasonName, Since, Until, VerdictName, wall_ns
from edge.records.journal.moment import iso

app = typer.Typer(no_args_is_help=True, help="The picture archive: list, export.")
console = Console()
if not console.is_terminal:
    console = Console(width=140)

Folder = Annotated[Path | None, typer.Option("--folder", help="The archive itself, instead of a line file.")]
Why = Annotated[str | None, typer.Option("--why", help=f"Why it was kept: {', '.join(WHY)}.")]
Label = Annotated[str | None, typer.Option("--class", help="Class of the decision, such as crack.")]


UNSURE = "unsure"
_SURE = {"none", "defect"}
"""Reasons with which the class of the decision is what was seen."""


@dataclass(frozen=True)
class Wanted:
    """Which pictures; None: any."""

    since_ns: int | None = None
    until_ns: int | None = None
    verdict: str | None = None
    reason: str | None = None
    part: int | None = None
    why: str | None = None
    label: str | None = None

    def holds(self, picture: Picture) -> bool:
        """Whether this is one."""
        return (
            (self.since_ns is None or picture.wall_ns >= self.since_ns)
            and (self.until_ns is None or picture.wall_ns < self.until_ns)
            and self.verdict in {None, picture.verdict}
            and self.reason in {None, picture.reason}
            and self.part in {None, picture.part_id}
            and self.label in {None, picture.label}
            and (self.why is None or self.why in picture.why)
        )


def pictures(folder: Path, wanted: Wanted) -> Iterator[tuple[Path, Picture]]:
    """Oldest first. Raises RecordError where there is no archive or no such reason to keep one."""
    if not folder.is_dir():
        raise RecordError(
            f"{folder}: no picture archive here; expected the folder of a line with records.archive that has run"
        )
    if wanted.why is not None and wanted.why not in WHY:
        raise RecordError(f"--why '{wanted.why}': expected one of {', '.join(WHY)}")
    for path in sorted(folder.glob("*/*.png")):
        picture = Picture.of(path)
        if picture is not None and wanted.holds(picture):
            yield path, picture


@app.command("list")
def list_pictures(
    line: LineFile = None,
    *,
    folder: Folder = None,
    since: Since = None,
    until: Until = None,
    verdict: VerdictName = None,
    reason: ReasonName = None,
    part: Part = None,
    why: Why = None,
    label: Label = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show what is kept; also while the line runs."""
    place = _place(line, folder)
    wanted = Wanted(wall_ns("--since", since), wall_ns("--until", until), verdict, reason, part, why, label)
    found = list(pictures(place, wanted))
    if as_json:
        print(json.dumps([{"path": str(path), **asdict(picture)} for path, picture in found], indent=1))
        return
    table = Table(title=str(place), title_justify="left")
    for heading in ("time (UTC)", "part", "verdict", "reason", "class", "kept as", "KiB"):
        table.add_column(heading)
    for path, p in found:
        time = iso(p.wall_ns)[:-6].replace("T", " ")
        size = f"{path.stat().st_size / 1024:.0f}"
        table.add_row(time, str(p.part_id), p.verdict, p.reason, p.label, " ".join(p.why), size)
    console.print(table)
    console.print(f"{len(found)} pictures")


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="A folder that is new or empty.")],
    line: LineFile = None,
    *,
    folder: Folder = None,
    since: Since = None,
    until: Until = None,
    verdict: VerdictName = None,
    reason: ReasonName = None,
    part: Part = None,
    why: Why = None,
    label: Label = None,
) -> None:
    """Copy pictures to a folder, one sub-folder a class, and `unsure` for parts that were rejected for no defect."""
    wanted = Wanted(wall_ns("--since", since), wall_ns("--until", until), verdict, reason, part, why, label)
    found = list(pictures(_place(line, folder), wanted))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecordError(f"{out}: is there already; expected a folder that is new or empty")
    try:
        with Console(stderr=True).status(f"copying {len(found)} pictures"):
            for path, picture in found:
                place = out / (picture.label if picture.reason in _SURE else UNSURE)
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place / path.name)
    except OSError as error:
        raise RecordError(f"{out}: cannot be written: {error.strerror}; choose another place") from error
    console.print(f"{len(found)} pictures: {out}")


def _place(line: Path | None, folder: Path | None) -> Path:
    if folder is not None:
        return folder
    if line is None:
        raise RecordError("which archive? Give a line file, or --folder")
    config = load_line(line)
    return archive_folder(config.name, config.records.archive)
