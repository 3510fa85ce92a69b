"""What ``edge check`` looks at and says."""

from collections.abc import Sequence

from rich.table import Table

from edge.camera.blur import blur_text
from edge.camera.flat_field import load_map
from edge.camera.kinds import check as check_camera
from edge.config import LineConfig, engine_path
from edge.inspection.certificate import HOLDS, describe
from edge.inspection.engines import load_pair
from edge.inspection.rules import class_limits, native_rules
from edge.inspection.settings import RoutingStep
from edge.recipes.earlier import own_earlier
from edge.roles import stored_recipes
from edge.service.machine import CpuPlan
from engines.loaded import LoadedEngine
from engines.manifest import EngineManifest


def explain(config: LineConfig) -> Table:
    """Checks pictures and engines as a start would, and describes the line. Raises an EdgeError like a start."""
    check_camera(config.camera)
    if config.camera.flat_field is not None:
        load_map(config.camera.flat_field, getattr(config.camera, "device", None))
    gate, classifier = load_pair(
        engine_path(config.engines.gate),
        engine_path(config.engines.classifier) if config.engines.classifier else None,
        config.engines.threads,
    )
    cpus = CpuPlan.for_this_machine(config.realtime.loop_cpu)
    speed, budget, plc = config.conveyor.m_per_s, config.budget, config.plc
    table = Table(show_header=False, title=f"line {config.name}", width=100)
    table.add_row(
        "camera",
        f"{config.camera.kind}, frame expected within {config.camera.frame_timeout_ms:g} ms of its trigger",
    )
    blur = blur_text(
        speed_m_per_s=speed,
        exposure_us=getattr(config.camera, "exposure_us", None),
        mm_per_pixel=config.rules.mm_per_pixel,
    )
    if blur:
        table.add_row("motion blur", blur)
    table.add_row(
        "budget",
        f"{min(budget.cap_ms, budget.window_mm / speed):.1f} ms at {speed:g} m/s: "
        f"min({budget.cap_ms:g} ms, {budget.window_mm:g} mm / speed), last packet received → PLC acknowledgement",
    )
    table.add_row(
        "gate",
        _engine_text(gate.manifest),
    )
    if classifier:
        table.add_row("classifier", _engine_text(classifier.manifest))
    else:
        table.add_row("classifier", "none: uncertain parts are rejected")
    table.add_row("classes", ", ".join(gate.manifest.classes))
    for speeds, text in _routing_texts(config.routing):
        table.add_row(speeds, text)
    last = config.routing[-1].up_to_m_per_s
    table.add_row(f"above {last:g} m/s", "every part is rejected (speed)" + _too_short(config, last))
    table.add_row("certificate", certificate_text(config, gate.manifest, classifier))
    for text in _rule_texts(config, gate.manifest):
        table.add_row("rule", text)
    if config.keep_earlier:
        earlier = own_earlier(config)
        table.add_row("stands by", str(earlier.gate.parent) if earlier else "nothing: none was active before")
    for recipe in stored_recipes(config):
        table.add_row(f"recipe {recipe.number}", f"{recipe.gate.parent.parent.name}, if the PLC asks for it")
    where = {
        "tcp": f"Modbus TCP {plc.host}:{plc.port}, unit {plc.unit_id}",
        "twin": "the twin's, started with the line",
        "none": "none",
    }
    table.add_row("PLC", f"{where[plc.kind]}; mode {plc.mode}, heartbeat every {plc.heartbeat_period_ms} ms")
    way_ms = plc.ejector.camera_to_ejector_mm / speed
    table.add_row(
        "ejector",
        f"{plc.ejector.camera_to_ejector_mm:g} mm ({way_ms:.0f} ms at {speed:g} m/s) from the camera",
    )
    table.add_row(
        "CPUs", f"loop {'any' if cpus.loop is None else cpus.loop}, others {list(cpus.others) or 'any'}"
    )
    return table


def certificate_text(config: LineConfig, gate: EngineManifest, classifier: LoadedEngine | None) -> str:
    """Whether what decides is what was certified, in a sentence."""
    engines = {"gate": gate.sha256}
    if classifier:
        engines["classifier"] = classifier.manifest.sha256
    state = config.certificate_state(engines)
    if config.certificate is None:
        return "none: nobody has bounded the escape rate of these thresholds (edge calibrate thresholds)"
    return f"{'holds' if state == HOLDS else f'[red]{state}[/]'}: {describe(config.certificate)}"


def _routing_texts(steps: Sequence[RoutingStep]) -> list[tuple[str, str]]:
    """Neighbours with the same thresholds in one row."""
    rows: list[tuple[str, str]] = []
    for step in steps:
        looks = "" if step.retest_good is None else f", on two looks from {step.retest_good:g} on"
        text = (
            f"gate passes at ≥ {step.gate_good:g}, rejects at ≥ {step.gate_defect:g}, no part at ≥ "
            f"{step.gate_empty:g}; classifier passes at ≥ {step.classifier_good:g}{looks}; the rest is rejected"
        )
        if rows and rows[-1][1] == text:
            rows.pop()
        rows.append((f"up to {step.up_to_m_per_s:g} m/s", text))
    return rows


def _too_short(config: LineConfig, last_m_per_s: float) -> str:
    limit = config.conveyor.max_m_per_s
    if config.conveyor.speed_source == "fixed" or last_m_per_s >= limit:
        return ""
    return f"; [yellow]also while the speed is not known: conveyor.max_m_per_s is {limit:g}[/]"


def _rule_texts(config: LineConfig, manifest: EngineManifest) -> list[str]:
    native_rules(config.rules, manifest.classes)  # a class that the engines do not know is an error here too
    limits = class_limits(config.rules, manifest.classes)
    texts = [
        f"no part passes with {name} at {limit:g} or more"
        for name, limit in zip(manifest.classes, limits, strict=True)
        if limit <= 1
    ]
    for step in config.rules.steps:
        to = "any size" if step.max_size_mm is None else f"{step.max_size_mm:g} mm"
        size = f", {step.min_size_mm:g} mm to {to}"
        zone = f" in {step.zone}" if step.zone else ""
        texts.append(f"{step.defect}{zone}{size}, score ≥ {step.min_score:g} → {step.action}, bin {step.bin}")
    return texts


def _engine_text(manifest: EngineManifest) -> str:
    size = f"{manifest.input.width}x{manifest.input.height}"
    return f"{manifest.name}, {size}, {manifest.precision.scheme}"
