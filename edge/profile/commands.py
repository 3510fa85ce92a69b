"""``edge profile``."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from edge.camera.settings import TwinSettings
from edge.config import LineConfig, load_line
from edge.errors import ConfigError
from edge.profile.compare import compare, load
from edge.profile.page import page
from edge.profile.report import ProfileReport
from edge.profile.run import Plan, profile
from edge.profile.trace import trace
from edge.roles import LIVE
from edge.service.state import find_folder
from edge.written import write_told

COMPARE, LIVE_WORD = "compare", "live"
SWEEP_SHARES = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5)
"""Of the line's speed, as far as the line may go."""
console = Console()
if not console.is_terminal:
    console = Console(width=110)


def command(
    what: Annotated[
        list[str],
        typer.Argument(help="A line file; or: compare A.json B.json; or: live NAME.", metavar="WHAT"),
    ],
    *,
    parts: Annotated[int, typer.Option(min=20, help="Parts of the main run, on the twin's belt.")] = 600,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="How long to watch a line with a real camera.")
    ] = None,
    speed: Annotated[float | None, typer.Option(min=0.05, help="m/s, instead of the line file's.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    gaps: Annotated[
        str, typer.Option(help="Rests before a part, seconds; the full test is 1,10,60.")
    ] = "1,10",
    sweep: Annotated[
        str | None, typer.Option(help="Belt speeds of the sweep, m/s, such as 0.6,1.2,2.4; none: no sweep.")
    ] = None,
    sweep_parts: Annotated[int, typer.Option(min=20, help="Parts at each speed.")] = 150,
    report: Annotated[Path | None, typer.Option(help="Write the figures.", metavar="FILE.json")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write one page with pictures.", metavar="FILE.html")
    ] = None,
    trace_file: Annotated[
        Path | None,
        typer.Option("--trace", help="Write the slowest parts for Perfetto.", metavar="FILE.json"),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="compare: what may be slower by this share.")
    ] = 0.15,
) -> None:
    """Where the time of a part goes, and how fast the belt may run; or what became slower between two reports."""
    if what[0] == COMPARE:
        raise typer.Exit(_compare(what[1:], tolerance))
    if what[0] == LIVE_WORD:
        _live(what[1:], trace_file)
        return
    if len(what) != 1:
        raise ConfigError(
            f"found {len(what)} line files, expected one (or: edge profile compare A.json B.json)"
        )
    for path in (report, html, trace_file):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{path}: its folder does not exist; make it first")
    config = load_line(Path(what[0]))
    if not isinstance(config.camera, TwinSettings) and seconds is None and config.camera.kind == "video":
        raise ConfigError("a camera has no last frame: give --seconds")
    plan = Plan(
        parts=parts,
        seconds=seconds,
        speed_m_per_s=speed,
        seed=seed,
        gaps_s=_numbers("--gaps", gaps),
        sweep_m_per_s=_speeds(config, sweep, speed),
        sweep_parts=sweep_parts,
    )
    found, records = _run(config, plan)
    console.print(_table(found))
    console.print(_verdict(found), markup=False)
    write_told(console, report, found.model_dump_json(indent=1) + "\n")
    write_told(console, html, page(found, records))
    write_told(console, trace_file, json.dumps(trace(records, config.name)) + "\n")


def _run(config: LineConfig, plan: Plan) -> tuple[ProfileReport, list[object]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=1.0)
        return profile(
            config,
            plan,
            lambda text: progress.console.print(text, markup=False),
            lambda name, share: progress.update(task, description=name, completed=share),
        )


def _numbers(option: str, text: str) -> tuple[float, ...]:
    if text in {"", "none"}:
        return ()
    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"{option} {text!r}: expected numbers with commas between them, such as 1,10"
        ) from error
    if any(not 0 < value < 1e4 for value in values):
        raise ConfigError(f"{option} {text!r}: expected numbers above 0")
    return values


def _speeds(config: LineConfig, text: str | None, speed: float | None) -> tuple[float, ...]:
    if not isinstance(config.camera, TwinSettings):
        if text not in {None, "none"}:
            raise ConfigError("--sweep: only the twin's belt takes orders; run it on examples/demo.yaml")
        return ()
    if text is not None:
        return _numbers("--sweep", text)
    usual = speed or config.conveyor.m_per_s
    limit = min(config.conveyor.max_m_per_s, config.routing[-1].up_to_m_per_s if config.routing else 1e9)
    return tuple(round(usual * share, 3) for share in SWEEP_SHARES if usual * share <= limit)


def _table(report: ProfileReport) -> Table:
    table = Table(
        title=f"{report.line}: {report.parts} parts at {report.m_per_s:g} m/s, ms", title_justify="left"
    )
    for heading in ("stage", "parts", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    rows = dict(report.stages)
    if report.latency_ms:
        rows["latency"] = report.latency_ms
    for name, found in rows.items():
        values = (found.p50, found.p90, found.p99, found.p99_9, found.max)
        table.add_row(name.replace("_", " "), str(found.parts), *(f"{value:.3f}" for value in values))
    return table


def _verdict(report: ProfileReport) -> str:
    found = report.overruns
    lines = [f"budget {report.budget_ms:g} ms, late {found.late}, no time for a look {found.no_time}"]
    lines += [f"late by stage {found.by_stage}, by cause {found.by_cause}"] if found.late else []
    if report.throttling and report.throttling.held_ms:
        held, free = report.throttling.held_ms, report.throttling.free_ms
        beside = f", of the others {free.p99:.2f} ms" if free else ""
        lines.append(
            f"clocks held down during {held.parts} parts, by cause {report.throttling.parts_by_cause}: "
            f"p99 {held.p99:.2f} ms{beside}"
        )
    lines += [f"after a rest of {gap.gap_s:g} s: {gap.latency_ms:.2f} ms" for gap in report.idle_gap]
    if report.sweep:
        speed = report.max_speed_m_per_s
        lines.append(f"highest speed that holds: {f'{speed:g} m/s' if speed else 'none of the sweep'}")
    return "\n".join(lines)


def _live(names: list[str], trace_file: Path | None) -> None:
    """The continuous profile of a running line, by its name or its folder."""
    if len(names) != 1:
        raise ConfigError(f"live: found {len(names)} names, expected one: edge profile live NAME")
    path = find_folder(names[0]) / LIVE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: no continuous profile here ({error}); expected a running line with "
            "report: {live_profile: true} or report.metrics in its file"
        ) from error
    table = Table(
        title=f"{found['line']}: {found['parts']} parts, {found['verdicts']}, ms", title_justify="left"
    )
    for heading in ("stage", "route", "parts", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(heading, justify="left" if heading in {"stage", "route"} else "right")
    for row in [*found["stages"], {"stage": "latency", "route": "", **found["latency_ms"]}]:
        values = (f"{row[key]:.3f}" for key in ("p50", "p90", "p99", "p99_9", "max"))
        table.add_row(row["stage"].replace("_", " "), row["route"], str(row["count"]), *values)
    console.print(table)
    if held := found.get("throttled"):
        told = held["parts_by_cause"] or "none"
        console.print(f"parts while something held the clocks down, by cause: {told}", markup=False)
        for name in ("held_ms", "free_ms"):
            ms = held[name]
            if ms["count"]:
                console.print(
                    f"{name.removesuffix('_ms')}: {ms['count']} parts, p50 {ms['p50']:.3f} ms, p99 {ms['p99']:.3f} ms"
                )
    if trace_file is not None:
        write_told(console, trace_file, json.dumps(found["trace"]) + "\n")


def _compare(paths: list[str], tolerance: float) -> int:
    if len(paths) != 2:
        raise ConfigError(
            f"compare: found {len(paths)} reports, expected two: edge profile compare A.json B.json"
        )
    before, after = (load(Path(path)) for path in paths)
    table = Table(title=f"{paths[0]} → {paths[1]}, ms", title_justify="left")
    for heading in ("stage", "", "before", "after", "ratio", ""):
        table.add_column(heading)
    rows = compare(before, after)
    for row in rows:
        mark = "[red]slower[/]" if row.worse(tolerance) else ""
        table.add_row(
            row.name, row.quantile, f"{row.before_ms:.3f}", f"{row.after_ms:.3f}", f"{row.ratio:.2f}", mark
        )
    console.print(table)
    slower = sum(row.worse(tolerance) for row in rows)
    console.print(f"{slower} of {len(rows)} figures are slower by more than {100 * tolerance:g} %")
    if before.host != after.host:
        console.print(f"other machines: {before.host} and {after.host}", markup=False)
    return int(slower > 0)
