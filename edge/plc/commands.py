"""``edge plc``: what the one needs who wires and commissions the PLC."""

import subprocess
import sys
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.progress import Progress

from edge.errors import PlcError
from edge.plc import latency as latencies
from edge.plc.connect import address_of
from edge.plc.probe import open_link, pulse, refuse_if_driven, settings_of
from edge.plc.register_doc import comma_separated, markdown
from edge.plc.settings import PlcSettings
from edge.plc.watch import Watch

app = typer.Typer(no_args_is_help=True, help="Commissioning of the PLC: map, watch, jog, sim, latency.")
console = Console()
if not console.is_terminal:
    console = Console(width=120)

DEFAULT_BUDGET_MS = 15.0
WATCH_PERIOD_S = 0.1
SIM_START_LIMIT_S = 10.0


class MapFormat(str, Enum):
    """How ``edge plc map`` prints."""

    MARKDOWN = "markdown"
    CSV = "csv"


LineFile = Annotated[
    Path | None, typer.Argument(help="Line file whose plc section is used.", metavar="LINE.yaml")
]
Host = Annotated[str | None, typer.Option(help="Address of the PLC, instead of the line file's.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Its Modbus TCP port.")]
Unit = Annotated[int | None, typer.Option(min=0, max=255, help="Its unit id.")]


@app.command("map")
def print_map(
    line: LineFile = None,
    form: Annotated[MapFormat, typer.Option("--format", help="Markdown to read, CSV to import.")] = (
        MapFormat.MARKDOWN
    ),
    out: Annotated[Path | None, typer.Option(help="Write to a file instead of the terminal.")] = None,
) -> None:
    """Print the register map for the PLC programmer, with the addresses of a line."""
    from edge.config import load_line

    plc = load_line(line).plc if line else PlcSettings()
    text = comma_separated(plc) if form is MapFormat.CSV else markdown(plc)
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlcError(f"{out}: the map cannot be written: {error.strerror}") from error
    console.print(f"map: {out}")


@app.command()
def watch(
    line: LineFile = None,
    host: Host = None,
    port: Port = None,
    unit: Unit = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
) -> None:
    """Show the registers of the PLC as they change. Only reads, so it may run beside a line."""
    plc, _ = settings_of(line, host, port, unit)
    with open_link(plc) as link:
        _show(Watch(link, plc), once)


@app.command()
def jog(  # noqa: PLR0917  (options of a command)
    line: LineFile = None,
    host: Host = None,
    port: Port = None,
    unit: Unit = None,
    pulse_ms: Annotated[float, typer.Option(min=1, max=2000, help="How long the coil is on.")] = 100.0,
    times: Annotated[int, typer.Option(min=1, max=100, help="How many pulses, a second apart.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; somebody looks at the nozzle.")] = False,
) -> None:
    """Pulse the ejector, after a question. Refused while a runtime drives this PLC."""
    plc, _ = settings_of(line, host, port, unit)
    coil = plc.ejector.coil
    if plc.mode == "tracked":
        console.print("plc.mode is tracked: the PLC fires by itself, and may not look at this coil")
    if not yes:
        with open_link(plc) as link:
            refuse_if_driven(link, plc)
        typer.confirm(
            f"Coil {coil} of the PLC at {address_of(plc)} goes on for {pulse_ms:g} ms, {times} time(s). "
            "Is the ejector clear of hands?",
            abort=True,
        )
    for i in range(times):
        if i:
            time.sleep(1.0)
        # Anew for each: some PLCs hang up while nobody asks them anything.
        with open_link(plc) as link:
            refuse_if_driven(link, plc)
            on_ms = pulse(link, plc, pulse_ms)
        console.print(f"pulse {i + 1}: coil {coil} was on for {on_ms:.1f} ms, both edges acknowledged")


@app.command()
def sim(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 5020,
    mode: Annotated[str, typer.Option(help="pulse or tracked.")] = "pulse",
    speed: Annotated[str, typer.Option(help="Belt, m/s or a profile such as 0:1.2,10:0.8.")] = "1.2",
    once: Annotated[bool, typer.Option("--once", help="Show the panel once and end.")] = False,
) -> None:
    """Run a simulated PLC on this machine, with its registers on the screen."""
    command = [
        sys.executable,
        "-m",
        "tools.twin",
        "plc",
        "--port",
        str(port),
        "--mode",
        mode,
        "--speed",
        speed,
    ]
    twin = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert twin.stdout is not None
        said = twin.stdout.readline()
        if not said.startswith("ready port="):
            _, words = twin.communicate(timeout=SIM_START_LIMIT_S)
            raise PlcError(f"the simulated PLC did not start: {words.strip() or said.strip()}")
        plc = PlcSettings(kind="tcp", port=int(said.split("=")[1]))
        console.print(f"simulated PLC on 127.0.0.1 port {plc.port}; Ctrl-C ends it")
        with open_link(plc) as link:
            _show(Watch(link, plc), once)
        if not (once or console.is_terminal):
            twin.wait()  # its panel was shown once, and it is there for others
    except KeyboardInterrupt:
        return
    finally:
        twin.terminate()
        twin.wait(5)


@app.command()
def latency(  # noqa: PLR0917  (options of a command)
    line: LineFile = None,
    host: Host = None,
    port: Port = None,
    unit: Unit = None,
    writes: Annotated[int, typer.Option(min=10, max=1_000_000, help="How many writes to time.")] = 2000,
    inspection_ms: Annotated[
        float, typer.Option(min=0, help="Set aside for frame, engines and decision before the write.")
    ] = 10.0,
    report: Annotated[
        Path | None, typer.Option(help="Write the figures as JSON.", metavar="FILE.json")
    ] = None,
) -> None:
    """Time writes to the real PLC and say whether the budget has room for them (exit code 1: it has not).

    Writes the status block with READY = 0 and an unchanging heartbeat: the PLC keeps its diverter on.
    """
    plc, config = settings_of(line, host, port, unit)
    if report is not None and not report.parent.is_dir():
        raise PlcError(f"{report}: the folder of the report does not exist; make it first")
    budget_ms = DEFAULT_BUDGET_MS
    if config:
        budget_ms = min(config.budget.cap_ms, config.budget.window_mm / config.conveyor.m_per_s)
    with open_link(plc) as link, Progress(console=console, transient=True) as progress:
        refuse_if_driven(link, plc)
        task = progress.add_task("writes", total=writes)
        round_trips, failed = latencies.measure(
            link, plc, writes, lambda done: progress.update(task, completed=done)
        )
        reconnects = link.opened - 1
    found = latencies.judge(
        address_of(plc),
        round_trips,
        failed=failed,
        reconnects=reconnects,
        budget_ms=budget_ms,
        inspection_ms=inspection_ms,
    )
    console.print(latencies.view(found))
    console.print(latencies.words(found), style="green" if found.holds else "red", soft_wrap=True)
    if report is not None:
        latencies.save(found, report)
        console.print(f"report: {report}")
    raise typer.Exit(0 if found.holds else 1)


def _show(watching: Watch, once: bool) -> None:
    if once or not console.is_terminal:
        console.print(watching.look())
        return
    try:
        with Live(watching.look(), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_PERIOD_S)
                live.update(watching.look(), refresh=True)
    except KeyboardInterrupt:
        return
