"""The line's own parts: its file, camera, engines, certificate and PLC. Nothing is started and nothing written."""

from collections.abc import Iterator
from pathlib import Path

from edge.camera.kinds import check as check_camera
from edge.config import LineConfig, engine_path, load_line
from edge.errors import EdgeError
from edge.inspection.certificate import HOLDS, NONE
from edge.inspection.engines import load_pair
from edge.plc.connect import address_of
from edge.plc.probe import open_link, read
from edge.plc.registers import PLC, PlcState, decode
from edge.plc.settings import PlcSettings
from edge.service.doctor.finding import Finding, Level, bad, good, skipped
from edge.service.doctor.records import records


def look_at(path: Path) -> tuple[LineConfig | None, list[Finding]]:
    """The line of a file, and what is to be said about it; without a line when the file cannot be used."""
    try:
        config = load_line(path)
    except EdgeError as error:
        return None, [bad("line_file", str(error), "a line file", f"edge check {path}", fails=True)]
    findings = [good("line_file", f"{path}: line {config.name}"), camera(config), *engines(config)]
    return config, [*findings, plc(config.plc), *records(config)]


def camera(config: LineConfig) -> Finding:
    """Whether its source is there."""
    try:
        check_camera(config.camera)
    except EdgeError as error:
        return bad("camera", str(error), f"a camera of kind {config.camera.kind}", "edge check", fails=True)
    return good("camera", f"{config.camera.kind}: its source is there")


def engines(config: LineConfig) -> Iterator[Finding]:
    """Loaded as a start would: keys and signatures of the store are verified; then the certificate."""
    wanted = config.engines
    try:
        first, second = load_pair(
            engine_path(wanted.gate),
            engine_path(wanted.classifier) if wanted.classifier else None,
            wanted.threads,
        )
    except EdgeError as error:
        yield bad("engines", str(error), "engines for this machine", "edge engines store list", fails=True)
        return
    pair = {"gate": first, **({"classifier": second} if second else {})}
    names = ", ".join(f"{role} {engine.manifest.name}" for role, engine in pair.items())
    yield good("engines", f"{names}: loaded")
    state = config.certificate_state({role: engine.manifest.sha256 for role, engine in pair.items()})
    if state == HOLDS:
        yield good("certificate", state)
    else:
        found = "none" if state == NONE else state
        yield bad("certificate", found, "one that holds", "edge calibrate thresholds --out RECIPE.yaml")


def plc(settings: PlcSettings) -> Finding:
    """Whether it answers one read; a doctor never writes."""
    if settings.kind == "none":
        return bad("plc", "none: verdicts are recorded only", "a PLC", "set plc.kind in the line file")
    if settings.kind == "twin":
        return skipped("plc", "the twin's, started with the line")
    try:
        with open_link(settings) as link:
            words = read(link, settings.plc_base, PLC.words)
    except EdgeError as error:
        return bad("plc", str(error), "an answer", "edge plc watch LINE.yaml", fails=True)
    values = decode(PLC, words, settings.word_order)
    known = values["state"] in set(PlcState)
    state = PlcState(values["state"]).name if known else f"unknown state {values['state']}"
    text = f"{address_of(settings)}: {state}, {values['speed']} mm/s, encoder {values['encoder']}"
    if known:
        return good("plc", text)
    return Finding(
        check="plc",
        level=Level.WARN,
        found=text,
        expected=f"state 0 to {max(PlcState)} at register {settings.plc_base + 1}",
        mend="compare the addresses with `edge plc map LINE.yaml`",
    )
