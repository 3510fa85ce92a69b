"""The ``edge`` command."""

import json
import logging
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from edge import _core
from edge.camera.commands import app as camera_app
from edge.check import explain
from edge.config import LineConfig, example_path, load_line
from edge.energy.commands import command as energy_command
from edge.errors import EdgeError
from edge.inspection.commands import app as route_app
from edge.line import Line, RunningLine, RunOptions, TwinRequest, stop_on_signals
from edge.plc.commands import app as plc_app
from edge.profile.commands import command as profile_command
from edge.recipes.commands import app as recipe_app
from edge.records.archive.commands import app as archive_app
from edge.records.journal.commands import app as journal_app
from edge.report.build import build_report, write_report
from edge.report.schema import RunReport
from edge.report.view import live_view, print_summary
from edge.service.commands import app as service_app
from edge.service.doctor.commands import doctor
from edge.service.install_commands import install, uninstall
from edge.service.memory import MemoryWatch
from edge.tool_commands import add_tool_commands
from edge.version import __version__
from engines.commands import app as engines_app
from engines.errors import EnginesError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Inline visual inspection at the reject gate.",
)
app.add_typer(camera_app, name="camera")
app.add_typer(plc_app, name="plc")
app.add_typer(route_app, name="route")
app.add_typer(recipe_app, name="recipe")
app.add_typer(journal_app, name="journal")
app.add_typer(archive_app, name="archive")
app.add_typer(engines_app, name="engines")
app.add_typer(service_app, name="service")
app.command()(doctor)
app.command("profile")(profile_command)
app.command("energy")(energy_command)
app.command()(install)
app.command()(uninstall)
add_tool_commands(app)
console = Console()
if not console.is_terminal:
    console = Console(width=110)  # a log file has no width of its own
errors = Console(stderr=True, soft_wrap=True)

LineFile = Annotated[Path, typer.Argument(help="Line file, such as examples/demo.yaml.", metavar="LINE.yaml")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write the report of the run as JSON.", metavar="FILE.json")
]
RecordFolder = Annotated[
    Path | None,
    typer.Option("--record", help="Record frames, triggers and verdicts into a new folder.", metavar="DIR"),
]


class DemoCamera(str, Enum):
    """How the frames of the demo travel."""

    TWIN = "twin"
    GIGE = "gige"


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"edge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Inline visual inspection at the reject gate."""


@app.command()
def run(
    line: LineFile,
    images: Annotated[
        Path | None,
        typer.Option(help="Show this folder or manifest of pictures instead of the line file's camera."),
    ] = None,
    report: ReportFile = None,
    record: RecordFolder = None,
) -> None:
    """Run a line until its camera has shown its last frame, or until Ctrl-C or SIGTERM."""
    config = load_line(line)
    if images is not None:
        config = _with_images(config, images)
    run_line(config, RunOptions(record_to=record), report, expected=None)


@app.command()
def demo(  # noqa: PLR0917  (options, never positions)
    parts: Annotated[int, typer.Option(min=1, max=1_000_000, help="Parts on the twin's belt.")] = 300,
    speed: Annotated[
        str | None, typer.Option(help="m/s, or a profile such as 0:1.2,10:0.8 (seconds:m/s).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The same seed gives the same parts.")] = 1,
    camera: Annotated[
        DemoCamera,
        typer.Option(help="gige: the twin camera as a GigE Vision device on loopback, through Aravis."),
    ] = DemoCamera.TWIN,
    report: ReportFile = None,
    record: RecordFolder = None,
) -> None:
    """Run examples/demo.yaml: twin camera, belt and PLC, the real runtime in between."""
    config = load_line(example_path("demo.yaml"))
    if camera is DemoCamera.GIGE:
        config = _changed(config, {"camera": load_line(example_path("gige.yaml")).camera.model_dump()})
    if speed is not None:
        config = _at_speed(config, speed)
    request = TwinRequest(parts=parts, seed=seed, speed=speed, gige=camera is DemoCamera.GIGE)
    run_line(config, RunOptions(twin=request, record_to=record), report, expected=parts)


@app.command()
def check(
    line: Annotated[Path | None, typer.Argument(help="Line file.", metavar="LINE.yaml")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of line files.")] = False,
) -> None:
    """Check a line file, its pictures and engines, and say what the line would do."""
    if schema:
        print(json.dumps(LineConfig.model_json_schema(), indent=2))
        return
    if line is None:
        raise typer.BadParameter("give a line file, or --schema")
    console.print(explain(load_line(line)))
    console.print(f"[green]{line}: can run[/]")


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="Folder that --record made.")],
    report: ReportFile = None,
) -> None:
    """Show the frames of a recording to the line again and compare the verdicts."""
    from edge.records.replay import replay_recording

    status = replay_recording(
        recording, lambda config, options: run_line(config, options, report, None), console.print
    )
    raise typer.Exit(status)


def run_line(
    config: LineConfig, options: RunOptions, report_path: Path | None, expected: int | None
) -> RunReport:
    """Runs a line with its view, prints the summary, writes the report."""
    if report_path is not None and not report_path.parent.is_dir():
        raise EdgeError(f"{report_path}: the folder of the report does not exist; make it first")
    memory = MemoryWatch()
    with Line(config, options, _say) as line:
        stop_on_signals(line)
        line.run(_ticker(line, memory, expected))
        report = build_report(line.running, line.labels(), memory.summary())
    print_summary(console, report)
    if report_path is not None:
        write_report(report, report_path)
        console.print(f"report: {report_path}")
    return report


def _ticker(line: Line, memory: MemoryWatch, expected: int | None) -> Callable[[RunningLine], None]:
    live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    last_said = -1

    def tick(running: RunningLine) -> None:
        nonlocal last_said
        memory.sample(running.pids, running.seconds)
        quarter_seconds = int(running.seconds * 4)
        if live is not None and quarter_seconds != last_said:
            last_said = quarter_seconds
            if not live.is_started:
                live.start()
            live.update(live_view(running, expected), refresh=True)
            if running.status.stop:
                live.stop()
        elif live is None and int(running.seconds) // 10 != last_said:
            last_said = int(running.seconds) // 10
            c = running.collector
            console.print(
                f"{running.seconds:6.1f} s  parts {c.parts}{f' of {expected}' if expected else ''}  "
                f"pass {c.verdicts[_core.Verdict.PASS]}  reject {c.verdicts[_core.Verdict.REJECT]}  "
                f"{'ready' if running.status.line_ready else 'not ready'}"
            )

    return tick


def _say(text: str) -> None:
    errors.print(text, style="yellow", markup=False, highlight=False)


def _at_speed(config: LineConfig, speed: str) -> LineConfig:
    """The line's own idea of its speed follows the first speed of the profile."""
    first = speed.split(",", 1)[0].rsplit(":", 1)[-1]
    try:
        m_per_s = float(first)
    except ValueError as error:
        raise EdgeError(
            f"--speed: found '{speed}', expected m/s such as 1.2, or seconds:m/s pairs such as 0:1.2,10:0.8"
        ) from error
    return _changed(config, {"conveyor": {**config.conveyor.model_dump(), "m_per_s": m_per_s}})


def _with_images(config: LineConfig, images: Path) -> LineConfig:
    kept = config.camera.model_dump(include={"max_frame_mib", "frame_slots", "frame_timeout_ms"})
    return _changed(config, {"camera": {"kind": "replay", "path": images.resolve(), **kept}})


def _changed(config: LineConfig, update: dict[str, object]) -> LineConfig:
    try:
        return LineConfig.model_validate({**config.model_dump(exclude_unset=True), **update})
    except ValueError as error:
        raise EdgeError(f"command line: {error}") from error


def main() -> None:
    """Entry of the ``edge`` command: errors on purpose are one clear text and exit code 2."""
    logging.basicConfig(level=logging.WARNING)
    try:
        app()
    except (EdgeError, EnginesError, _core.CoreError) as error:
        errors.print(f"edge: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
