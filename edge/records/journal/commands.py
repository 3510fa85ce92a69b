"""``edge journal``: what has been decided about which part, and when."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from edge.config import load_line
from edge.errors import RecordError
from edge.records.journal.copy import copy
from edge.records.journal.export import export
from edge.records.journal.query import Filter, JournalReader
from edge.records.journal.settings import FILE_NAME, journal_path, state_folder
from engines.audit import FILE_NAME as AUDIT
from engines.audit import AuditLog

app = typer.Typer(no_args_is_help=True, help="The journal of all parts: query, export, copy, check.")
console = Console()
if not console.is_terminal:
    console = Console(width=140)

SHOWN = 20
"""Parts on the screen unless more are asked for."""

LineFile = Annotated[
    Path | None, typer.Argument(help="Line file whose journal is meant.", metavar="LINE.yaml")
]
File = Annotated[Path | None, typer.Option("--journal", help="The journal itself, instead of a line file.")]
Since = Annotated[str | None, typer.Option(help="From this time on, such as 2026-11-25T08:00 (local time).")]
Until = Annotated[str | None, typer.Option(help="Before this time.")]
VerdictName = Annotated[
    str | None, typer.Option("--verdict", help="What finally held: pass, reject, no_part.")
]
ReasonName = Annotated[str | None, typer.Option("--reason", help="Such as defect, overrun, plc_silent.")]
Part = Annotated[int | None, typer.Option(help="Id of the part.")]
ClassName = Annotated[str | None, typer.Option("--class", help="Class of the decision, such as crack.")]
Last = Annotated[int | None, typer.Option(min=1, help="Only the newest so many.")]


@app.command()
def query(
    line: LineFile = None,
    *,
    journal: File = None,
    since: Since = None,
    until: Until = None,
    verdict: VerdictName = None,
    reason: ReasonName = None,
    part: Part = None,
    class_name: ClassName = None,
    last: Last = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything of each part, with gaps and events.")
    ] = False,
) -> None:
    """Show parts, the newest 20 unless asked for others; also while the line runs."""
    period = wall_ns("--since", since), wall_ns("--until", until)
    wanted = Filter(*period, verdict, reason, part, class_name, last if last or as_json else SHOWN)
    path = _path(line, journal)
    with JournalReader(path) as reader:
        parts = list(reader.parts(wanted))
        if as_json:
            found = {
                "journal": str(path),
                "short": reader.short,
                "counts": reader.counts(),
                "runs": reader.runs(),
                "gaps": reader.gaps(),
                "events": reader.events(),
                "parts": parts,
            }
            print(json.dumps(found, indent=1))
            return
        table = Table(title=str(path), title_justify="left")
        for heading in (
            "time (UTC)",
            "part",
            "verdict",
            "reason",
            "class",
            "route",
            "decided, ms",
            "PLC",
            "acknowledged, ms",
        ):
            table.add_column(heading)
        for row in parts:
            times = ["–" if row[key] is None else f"{row[key]:.2f}" for key in ("decided_ms", "ack_ms")]
            table.add_row(
                row["time"][:-6],
                str(row["part_id"]),
                row["final_verdict"],
                row["final_reason"],
                row["class"],
                row["route"],
                times[0],
                row["plc_result"],
                times[1],
            )
        console.print(table)
        counts = reader.counts()
        console.print(
            f"{counts['parts']} parts kept, {counts['verdicts']}; {counts['lost_records']} records lost"
        )
        if reader.short:
            console.print(reader.short, style="red", markup=False)
        for event in reader.events()[-5:]:
            console.print(f"{event['time']}  {event['kind']}: {event['text']}", markup=False)


@app.command("export")
def export_parts(
    out: Annotated[Path, typer.Option(help="FILE.csv or FILE.parquet.")],
    line: LineFile = None,
    *,
    journal: File = None,
    since: Since = None,
    until: Until = None,
    verdict: VerdictName = None,
    reason: ReasonName = None,
    part: Part = None,
    class_name: ClassName = None,
    last: Last = None,
) -> None:
    """Write parts to a file, whole or not at all."""
    period = wall_ns("--since", since), wall_ns("--until", until)
    wanted = Filter(*period, verdict, reason, part, class_name, last)
    with JournalReader(_path(line, journal)) as reader, Console(stderr=True).status(f"writing {out}"):
        _warn(reader)
        count = export(reader.parts(wanted), out)
    console.print(f"{count} parts: {out}")


@app.command()
def check(line: LineFile = None, journal: File = None) -> None:
    """Read the whole journal through; exit code 1 when it is broken, short, or has gaps."""
    path = _path(line, journal)
    with JournalReader(path) as reader, Console(stderr=True).status(f"reading {path}"):
        broken, gaps, counts = reader.check(), reader.gaps(), reader.counts()
    for text in broken:
        console.print(f"broken: {text}", markup=False)
    for gap in gaps:
        console.print(f"gap: run {gap['run']}, records {gap['first']} to {gap['last']}, found {gap['found']}")
    console.print(f"{path}: {counts['parts']} parts, {counts['lost_records']} records lost")
    raise typer.Exit(int(bool(broken or gaps)))


@app.command("copy")
def copy_journal(
    out: Annotated[Path, typer.Option(help="A file that is not there yet.")],
    line: LineFile = None,
    journal: File = None,
) -> None:
    """Copy the journal as one file, also while the line runs; whole or not at all."""
    bar = Progress(*Progress.get_default_columns(), console=Console(stderr=True))
    with JournalReader(_path(line, journal)) as reader, bar:
        _warn(reader)
        task = bar.add_task(f"copying to {out}", total=None)
        copy(reader, out, lambda left, total: bar.update(task, total=total, completed=total - left))
        parts = reader.counts()["parts"]
    console.print(f"{parts} parts: {out}")


def _warn(reader: JournalReader) -> None:
    if reader.short:
        Console(stderr=True, soft_wrap=True).print(reader.short, style="red", markup=False)


@app.command()
def audit(
    line: LineFile = None,
    *,
    file: Annotated[
        Path | None, typer.Option(help="The log itself, such as audit.jsonl of an engine store.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Who changed configuration or engines, when and why; exit code 1 when a row was changed afterwards."""
    path = file or _path(line, None).parent / AUDIT
    if not path.is_file():
        raise RecordError(f"{path}: no audit log here; a line with a journal, or an engine store, begins one")
    log = AuditLog(path)
    broken = log.check()
    if as_json:
        print(json.dumps({"rows": log.rows(), "broken": broken}, indent=1))
    else:
        for row in log.rows():
            console.print(
                f"{row.get('time')}  {row.get('who')}  {row.get('kind')} {row.get('subject')}: "
                f"{_short(row.get('before'))} → {_short(row.get('after'))}  {row.get('why') or ''}",
                markup=False,
            )
        for text in broken:
            console.print(text, style="red", markup=False)
    raise typer.Exit(int(bool(broken)))


def _short(text: object) -> str:
    return "nothing" if text is None else str(text)[:24]


def _path(line: Path | None, journal: Path | None) -> Path:
    if journal is not None:
        return journal
    if line is not None:
        config = load_line(line)
        path = journal_path(config.name, config.records.journal)
        if config.records.journal is None and not path.exists():
            raise RecordError(
                f"{line}: keeps no journal, and no service has begun {path}; expected the section "
                "records: {journal: {}} in the line file"
            )
        return path
    found = sorted(state_folder().glob(f"*/{FILE_NAME}"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(path) for path in found) or "none"
    raise RecordError(
        f"which journal? Found in {state_folder()}: {names}; give a line file, or --journal FILE"
    )


def wall_ns(option: str, text: str | None) -> int | None:
    """A time on the command line. Raises RecordError."""
    if text is None:
        return None
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1e9)
    except ValueError as error:
        raise RecordError(
            f"{option} '{text}': expected a time such as 2026-11-25T08:00 or 2026-11-25"
        ) from error
