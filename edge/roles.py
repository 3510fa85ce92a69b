"""What the processes of a line are, and what each is told: the same for `edge run` and for systemd."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge import _core
from edge.camera.settings import CameraConfig
from edge.config import LineConfig, engine_path
from edge.errors import EngineError, RegionError
from edge.inspection.rules import class_limits, native_rules
from edge.inspection.settings import InspectionConfig, RecipeConfig
from edge.plc.settings import ActuationConfig
from edge.recipes.earlier import own_earlier, stored_earlier, stored_id
from edge.records.archive.settings import archive_folder
from edge.records.journal.settings import journal_path
from edge.report.settings import ReportConfig
from edge.service.machine import CpuPlan
from edge.settings import Settings
from engines.errors import ManifestError
from engines.manifest import EngineManifest, load_manifest

REGION, RING, LABELS, LIVE = "region", "records.ring", "labels.json", "profile.live.json"
"""Names in the folder in which the processes of a line meet."""


@dataclass(frozen=True)
class Role:
    """One process of a line."""

    module: str
    reads_ring: bool = True


ROLES = {
    "actuation": Role("edge.plc.process"),
    "camera": Role("edge.camera.host", reads_ring=False),
    "inspection": Role("edge.inspection.process"),
    "report": Role("edge.report.process"),
}
"""In the order of their start."""


@dataclass(frozen=True)
class Meeting:
    """Where the processes of a line meet: region, ring file, and what each role is told."""

    folder: Path
    ring: Path

    @classmethod
    def of(cls, config: LineConfig, folder: Path) -> "Meeting":
        """The ring lies elsewhere where the line file says so."""
        return cls(folder, config.records.ring_path or folder / RING)

    @property
    def region(self) -> Path:
        """The shared memory."""
        return self.folder / REGION

    @property
    def labels(self) -> Path:
        """Where the camera process leaves the labels of the parts, if it knows them."""
        return self.folder / LABELS

    def create(self, config: LineConfig) -> tuple[_core.Region, _core.RecordRing]:
        """A new region and a new ring; the caller holds the line's lock. Raises RegionError."""
        for stale in self.folder.glob(f"{REGION}*"):
            stale.unlink()
        camera = config.camera
        try:
            region = _core.Region.create(
                str(self.region), frame_slots=camera.frame_slots, slot_bytes=camera.slot_bytes
            )
            return region, _core.RecordRing.create(str(self.ring), capacity=config.records.capacity)
        except _core.CoreError as error:
            raise RegionError(str(error)) from error

    def write_told(self, told: Mapping[str, Settings]) -> None:
        """The configuration of each role."""
        for role, model in told.items():
            self.told(role).write_text(model.model_dump_json(indent=1), encoding="utf-8")

    @property
    def live(self) -> Path:
        """Where the continuous profile is left."""
        return self.folder / LIVE

    def clear(self) -> None:
        """Takes away what the next start makes anew; a ring file that lies elsewhere stays."""
        for path in (self.region, self.labels, self.folder / RING):
            path.unlink(missing_ok=True)

    def told(self, role: str) -> Path:
        """The configuration of a role."""
        return self.folder / f"{role}.json"

    def command(self, role: str) -> list[str]:
        """Behind ``python -m``."""
        command = [ROLES[role].module, "--region", str(self.region), "--config", str(self.told(role))]
        return [*command, "--records", str(self.ring)] if ROLES[role].reads_ring else command


def role_settings(
    config: LineConfig, meeting: Meeting, cpus: CpuPlan, *, ignore_deadlines: bool = False
) -> dict[str, Settings]:
    """What each role is told. Raises ConfigError and EngineError for engines that are not there."""
    inspection = _inspection(config, cpus, ignore_deadlines)
    return {
        "actuation": _actuation(config, cpus),
        "camera": _camera(config, cpus, meeting.labels),
        "inspection": inspection,
        "report": _report(config, meeting, inspection),
    }


def _actuation(config: LineConfig, cpus: CpuPlan) -> ActuationConfig:
    return ActuationConfig(
        plc=config.plc,
        conveyor=config.conveyor,
        verdict_timeout_ms=config.verdict_timeout_ms,
        camera_latches_encoder=config.camera.latches_encoder,
        recipes=(config.recipe_number, *config.recipes),
        cpus=cpus.others,
        fifo_priority=min(60, config.realtime.priority),
    )


def _camera(config: LineConfig, cpus: CpuPlan, labels: Path) -> CameraConfig:
    return CameraConfig(
        camera=config.camera,
        speed_m_per_s=config.conveyor.m_per_s,
        counts_per_mm=config.conveyor.counts_per_mm,
        cpus=cpus.others,
        labels_path=labels,
    )


def _inspection(config: LineConfig, cpus: CpuPlan, ignore_deadlines: bool) -> InspectionConfig:
    engines = config.engines
    return InspectionConfig(
        number=config.recipe_number,
        stored=stored_id(config),
        earlier=own_earlier(config) if config.keep_earlier else None,
        recipes=stored_recipes(config),
        gate=engine_path(engines.gate),
        classifier=engine_path(engines.classifier) if engines.classifier else None,
        threads=engines.threads,
        roi=config.camera.roi,
        flat_field=config.camera.flat_field,
        budget=config.budget,
        exposure=config.exposure,
        routing=config.routing,
        scores=config.scores,
        retest=config.retest,
        fusion=config.fusion,
        rules=config.rules,
        frame_timeout_ms=config.camera.frame_timeout_ms,
        max_speed_m_per_s=config.conveyor.max_m_per_s,
        priority=config.realtime.priority,
        loop_cpu=cpus.loop,
        keep_warm_ms=config.realtime.keep_warm_ms,
        ignore_deadlines=ignore_deadlines,
    )


def standing_by(told: Settings) -> dict[int, str]:
    """Of what inspection is told: number of a recipe → id in the recipe store of what stands by for it."""
    assert isinstance(told, InspectionConfig)
    return {number: identity for number, earlier, identity in stored_ids(told) if earlier}


def stored_ids(told: InspectionConfig) -> tuple[tuple[int, bool, str], ...]:
    """Of the recipe store, all that is loaded: number, whether it stands by for the one of that number, id."""
    loaded = [(recipe.number, False, recipe.stored) for recipe in (told, *told.recipes)]
    loaded += [(r.number, True, r.earlier.stored) for r in (told, *told.recipes) if r.earlier]
    return tuple(row for row in loaded if row[2])


def stored_recipes(config: LineConfig) -> tuple[RecipeConfig, ...]:
    """Those that the PLC may ask for. Raises ConfigError, RecipeError, EngineError: one that does not fit the line."""
    if not config.recipes:
        return ()
    from edge.recipes.store import RecipeStore

    store, classes = RecipeStore(), gate_manifest(config).classes
    found = []
    for number, name in config.recipes.items():
        stored = store.find(name)
        recipe = stored.config(number)
        try:
            manifests = [load_manifest(path) for path in (recipe.gate, recipe.classifier) if path]
        except ManifestError as error:
            raise EngineError(f"recipes.{number}: {error}") from error
        for manifest in manifests:
            if manifest.classes != classes:
                raise EngineError(
                    f"recipes.{number}: {stored.id}: classes are {list(manifest.classes)}, but the line's are "
                    f"{list(classes)}; expected the same in the same order, because a class is a number to the PLC"
                )
        native_rules(recipe.rules, classes)
        class_limits(recipe.rules, classes)
        if config.keep_earlier:
            recipe = recipe.model_copy(update={"earlier": stored_earlier(stored.id, number, classes)})
        found.append(recipe)
    return tuple(found)


def _report(config: LineConfig, meeting: Meeting, inspection: InspectionConfig) -> ReportConfig:
    journal, archive = config.records.journal, config.records.archive
    return ReportConfig(
        line=config.name,
        classes=tuple(gate_manifest(config).classes),
        config_sha256=config_hash(config),
        journal=journal,
        journal_path=journal_path(config.name, journal) if journal else None,
        archive=archive,
        archive_path=archive_folder(config.name, archive) if archive else None,
        report=config.report,
        recipes=(config.recipe_number, *config.recipes),
        stored=stored_ids(inspection),
        live_path=meeting.live,
    )


def config_hash(config: LineConfig) -> str:
    """SHA-256 of the configuration with everything that was left out."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()


def gate_manifest(config: LineConfig) -> EngineManifest:
    """Of the gate, whose classes are the line's. Raises EngineError or ConfigError: a rule's class is not there."""
    try:
        manifest = load_manifest(engine_path(config.engines.gate))
    except ManifestError as error:
        raise EngineError(str(error)) from error
    native_rules(config.rules, manifest.classes)
    class_limits(config.rules, manifest.classes)
    return manifest


def engine_hashes(config: LineConfig) -> dict[str, str]:
    """Role → SHA-256 of the model file."""
    paths = {"gate": config.engines.gate, "classifier": config.engines.classifier}
    return {
        role: hashlib.sha256(load_manifest(engine_path(text)).model_path.read_bytes()).hexdigest()
        for role, text in paths.items()
        if text
    }
