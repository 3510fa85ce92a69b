"""``edge camera``: what the one needs who sets a camera up."""

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from edge._core import PixelFormat
from edge.camera.aravis_setup import devices as aravis_devices
from edge.camera.base import Frame
from edge.camera.flat_field import make_map
from edge.camera.gentl import devices as gentl_devices
from edge.camera.grabbing import Grabbed, for_people, grabbed, opened, sharpness
from edge.camera.pylon import devices as pylon_devices
from edge.camera.scale import Target, drawn, measure
from edge.camera.settings import CameraSettings, GentlSettings
from edge.camera.tune import delivery
from edge.errors import CameraError

app = typer.Typer(no_args_is_help=True, help="Cameras: list, show, snap, record, tune, scale, flatfield.")
console = Console()
if not console.is_terminal:
    console = Console(width=120)

LineFile = Annotated[Path, typer.Argument(help="Line file whose camera is used.", metavar="LINE.yaml")]
_FREE_CLOCK = ", above the fastest frame's own way (camera.clock: free)"
Patience = Annotated[float, typer.Option(min=0.1, max=600, help="Longest wait for a frame, seconds.")]


class TargetKind(str, Enum):
    """What lies under the camera."""

    CHESSBOARD = "chessboard"
    DOTS = "dots"


def _v4l2() -> list[dict[str, str]]:
    found = sorted(Path("/sys/class/video4linux").glob("video*"))
    return [{"id_": f"/dev/{p.name}", "model": (p / "name").read_text().strip()} for p in found]


_LISTS: dict[str, Callable[[], list[dict[str, str]]]] = {
    "aravis": aravis_devices,
    "gentl": lambda: gentl_devices(GentlSettings(kind="gentl")),
    "pylon": pylon_devices,
    "video": _v4l2,
}


@app.command("list")
def list_cameras() -> None:
    """List the cameras that each back-end sees, or why it sees none."""
    table = Table(box=None)
    for heading in ("kind", "device", "what it says of itself"):
        table.add_column(heading, overflow="fold")
    for kind, devices in _LISTS.items():
        try:
            found = devices()
        except CameraError as error:
            table.add_row(kind, "-", f"[dim]{escape(str(error))}[/]")
            continue
        for names in found:
            others = " ".join(f"{k}={v}" for k, v in names.items() if k != "id_" and v)
            table.add_row(kind, names.get("id_", ""), others)
        if not found:
            table.add_row(kind, "-", "[dim]none[/]")
    console.print(table)


@app.command()
def show(line: LineFile) -> None:
    """Show a line's camera settings; its source is looked for."""
    from edge.camera.kinds import check

    settings = _camera(line)
    check(settings)
    for name, value in settings.model_dump(mode="json").items():
        console.print(f"{name}: {value}", highlight=False)
    console.print("[green]the source is there[/]")


@app.command()
def snap(
    line: LineFile,
    out: Annotated[Path, typer.Option(help="PNG to write.", metavar="FILE.png")] = Path("snap.png"),
    patience: Patience = 10.0,
) -> None:
    """Take one frame, write it as PNG, and say how it is exposed and how sharp it is."""
    picture, frame = _one(line, patience)
    if not cv2.imwrite(str(out), for_people(picture, frame.pixel_format)):
        raise CameraError(f"{out}: the picture cannot be written; does its folder exist?")
    grey = _grey(picture)
    console.print(
        f"{out}: {frame.width}x{frame.height} {frame.pixel_format.name}, mean {grey.mean():.0f}, dark "
        f"{(grey <= 4).mean():.1%}, bright {(grey >= 251).mean():.1%}, sharpness {sharpness(grey):.3f}"
    )


@app.command()
def record(
    line: LineFile,
    out: Annotated[Path, typer.Option(help="New folder for the pictures.", metavar="DIR")],
    frames: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 100,
    patience: Patience = 10.0,
) -> None:
    """Write frames as PNG into a new folder; `edge run LINE --images DIR` shows them to a line."""
    settings = _camera(line)
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise CameraError(f"{out}: {error.strerror}; expected a folder that is not there yet") from error
    written = 0
    with opened(settings) as camera:
        run = grabbed(camera, settings, frames, patience)
        for one in track(run, "recording", total=frames, console=Console(stderr=True)):
            if one.pixels is None:
                console.print(f"frame {one.frame.frame_id}: {one.frame.status.name}, left out")
            elif cv2.imwrite(str(out / f"{written:06}.png"), for_people(one.pixels, one.frame.pixel_format)):
                written += 1
            else:
                raise CameraError(f"{out}: a picture cannot be written after {written}; is the disk full?")
    console.print(f"{out}: {written} pictures")


@app.command()
def tune(
    line: Annotated[
        Path | None, typer.Argument(help="Measure this line's camera too.", metavar="LINE.yaml")
    ] = None,
    frames: Annotated[int, typer.Option(min=10, max=100_000, help="How many frames to measure.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    patience: Patience = 10.0,
) -> None:
    """Look at the network settings that cost frames, measure jitter and loss, and say what to change."""
    from edge.camera.network import camera_network
    from edge.service.doctor.host import Host
    from edge.service.doctor.surroundings import network_cards

    host = Host()
    findings = [*network_cards(host), *camera_network(host)]
    measured = None
    if line is not None:
        settings = _camera(line)
        with opened(settings) as camera:
            run = grabbed(camera, settings, frames, patience)
            taken = list(track(run, "measuring", total=frames, console=Console(stderr=True)))
            measured = delivery(taken, own_stamps=camera.own_stamps)
    if as_json:
        data = {
            "findings": [f.model_dump(mode="json") for f in findings],
            "delivery": measured and vars(measured),
        }
        print(json.dumps(data, indent=1))
        return
    table = Table(box=None)
    for heading in ("", "check", "found", "what mends it"):
        table.add_column(heading, overflow="fold")
    for f in findings:
        table.add_row(f.level.value, f.check, f.found, f"expected {f.expected}: {f.mend}" if f.mend else "")
    console.print(table)
    if measured:
        console.print(
            f"{measured.frames} frames, {measured.lost} lost, {measured.incomplete} incomplete; one every "
            f"{measured.period_p50_ms:.2f} ms, jitter p99 {measured.jitter_p99_ms:.2f} ms, late p99 "
            f"{measured.late_p99_ms:.2f} ms"
        )
        if measured.device_to_host_p50_ms is not None:
            console.print(
                f"from the camera's stamp to the whole frame p50 {measured.device_to_host_p50_ms:.2f} ms, p99 "
                f"{measured.device_to_host_p99_ms:.2f} ms{_FREE_CLOCK if _free_clock(settings) else ''}"
            )


@app.command()
def scale(  # noqa: PLR0917  (options of the command line)
    line: LineFile,
    target: Annotated[TargetKind, typer.Option(help="What is shown.")],
    columns: Annotated[int, typer.Option(min=3, max=200, help="Inner corners, or dots, of a row.")],
    rows: Annotated[int, typer.Option(min=3, max=200, help="Rows of them.")],
    pitch_mm: Annotated[float, typer.Option(min=0.001, help="From one to the next, mm.")],
    out: Annotated[Path | None, typer.Option(help="Picture of what was found.", metavar="FILE.png")] = None,
    patience: Patience = 10.0,
) -> None:
    """Measure millimetres per pixel from a chessboard or a grid of dots that lies where the parts do."""
    picture, frame = _one(line, patience)
    picture = for_people(picture, frame.pixel_format)
    grey = _grey(picture)
    shown = Target(target.value, columns, rows, pitch_mm)
    found = measure(grey, shown)
    if out is not None and not cv2.imwrite(str(out), drawn(picture, shown, found)):
        raise CameraError(f"{out}: the picture cannot be written; does its folder exist?")
    console.print(
        f"{found.mm_per_pixel:.5g} ± {found.uncertainty_mm_per_pixel:.1g} mm per pixel; points "
        f"{found.residual_px:.2f} px from an even plane, scale even within {found.spread:.2%}. For the line file:",
        highlight=False,
    )
    console.print(f"rules: {{mm_per_pixel: {found.mm_per_pixel:.5g}}}", highlight=False)


@app.command()
def flatfield(  # noqa: PLR0917  (options of the command line)
    line: LineFile,
    out: Annotated[Path, typer.Option(help="Map to write.", metavar="FILE.npz")],
    png: Annotated[
        bool, typer.Option("--png", help="Beside it FILE.dark.png and FILE.gain.png (16 bit), to look at.")
    ] = False,
    frames: Annotated[int, typer.Option(min=1, max=1000, help="Frames to average, of each sort.")] = 32,
    patience: Patience = 10.0,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask: both sorts from the frames as they come.")
    ] = False,
) -> None:
    """Make a dark and flat-field map: first with the lens covered, then of an even grey target."""
    settings = _camera(line)
    sorts: list[list[Grabbed]] = []
    with opened(settings) as camera:
        for what in ("Cover the lens", "Show an even grey target"):
            if not yes:
                typer.confirm(f"{what}. Ready?", abort=True)
            run = grabbed(camera, settings, frames, patience)
            sorts.append(list(track(run, what, total=frames, console=Console(stderr=True))))
    dark, flat = ([_whole(one) for one in sort] for sort in sorts)
    mosaic = any(one.frame.pixel_format is PixelFormat.BAYER_RG8 for one in sorts[0])
    made = make_map(dark, flat, mosaic=mosaic, camera=getattr(settings, "device", None) or "")
    made.save(out)
    if png:
        made.export_png(out)
    console.print(f"{out}: hash {made.sha256[:16]}; set camera.flat_field to it")


def _free_clock(settings: CameraSettings) -> bool:
    return getattr(settings, "clock", "") == "free"


def _camera(line: Path) -> CameraSettings:
    from edge.config import load_line

    return load_line(line).camera


def _one(line: Path, patience: float) -> tuple[NDArray[np.uint8], Frame]:
    settings = _camera(line)
    with opened(settings) as camera:
        one = next(grabbed(camera, settings, 1, patience), None)
    picture = _whole(one)
    assert one is not None
    return picture, one.frame


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture[..., :3], cv2.COLOR_BGR2GRAY))


def _whole(one: Grabbed | None) -> NDArray[np.uint8]:
    if one is None or one.pixels is None:
        what = "no frame" if one is None else f"a frame that is {one.frame.status.name}"
        raise CameraError(f"{what} came; expected a whole one (camera.max_frame_mib is the largest size)")
    return one.pixels
