"""The line file: one YAML that says what a line is. Composes the sections that the packages define."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from edge.camera.settings import CameraSettings, RecordingSettings, ReplaySettings
from edge.conveyor.settings import ConveyorSettings
from edge.errors import ConfigError, EngineError
from edge.inspection.certificate import Certificate, certificate_state, decides_hash
from edge.inspection.recipe import Recipe
from edge.inspection.rules import RuleSettings
from edge.inspection.settings import (
    MOST_RECIPES,
    SHIPPED,
    STORE,
    STORED,
    BudgetSettings,
    EngineSettings,
    ExposureSettings,
    FusionSettings,
    RealtimeSettings,
    RetestSettings,
    RoutingStep,
    ScoreSettings,
    check_routing,
)
from edge.plc.settings import PlcSettings
from edge.records.archive.settings import ArchiveSettings
from edge.records.journal.settings import JournalSettings
from edge.report.settings import ReportSettings
from edge.settings import Settings
from edge.yaml_file import load_yaml
from engines.errors import EnginesError


class RecordSettings(Settings):
    """Where part records wait for the information plane."""

    ring_path: Path | None = Field(
        None, description="Ring file of part records; left out: in memory (/dev/shm), gone after a reboot."
    )
    capacity: int = Field(65_536, ge=256, le=16_777_216, description="Records that the ring file holds.")
    journal: JournalSettings | None = Field(
        None,
        description="Every part for good, in SQLite. Left out: nothing is kept, except under systemd (edge install).",
    )
    archive: ArchiveSettings | None = Field(
        None, description="Pictures of rejects, uncertain parts, samples and faults. Left out: none is kept."
    )


class LineConfig(Settings):
    """One line, from camera to reject gate."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$", description="Name of the line, unique on the device."
    )
    camera: CameraSettings
    conveyor: ConveyorSettings = ConveyorSettings()
    budget: BudgetSettings = BudgetSettings()
    engines: EngineSettings
    recipe: str | None = Field(
        None,
        description="A recipe in place of the sections routing, scores, retest, rules and certificate here: a path "
        "beside this file, or shipped:demo; stored:NAME (edge recipe) brings engines, exposure and region as well.",
    )
    recipe_number: int = Field(
        0, ge=0, le=65535, description="By which the PLC asks for what this file itself describes; 0: never."
    )
    recipes: dict[Annotated[int, Field(ge=1, le=65535)], str] = Field(
        default={},
        max_length=MOST_RECIPES - 1,
        description="Number in the PLC's recipe_request → recipe of the recipe store (edge recipe list), for "
        "changeovers while the line runs; all of them are kept loaded.",
    )
    keep_earlier: bool = Field(
        False,
        description="Keep what was active before each stored recipe, or before the engines of the engine store, loaded "
        "as well: edge calibrate watch goes back to it between two parts.",
    )
    routing: tuple[RoutingStep, ...] = Field((), description="Thresholds by line speed, slowest first.")
    scores: ScoreSettings = ScoreSettings()
    retest: RetestSettings = RetestSettings()
    rules: RuleSettings = RuleSettings()
    certificate: Certificate | None = None
    fusion: FusionSettings = FusionSettings()
    exposure: ExposureSettings = ExposureSettings()
    plc: PlcSettings
    records: RecordSettings = RecordSettings()
    report: ReportSettings = ReportSettings()
    realtime: RealtimeSettings = RealtimeSettings()

    @field_validator("routing")
    @classmethod
    def _speeds_rise(cls, steps: tuple[RoutingStep, ...]) -> tuple[RoutingStep, ...]:
        return check_routing(steps)

    @model_validator(mode="before")
    @classmethod
    def _a_bundle_brings_its_engines(cls, data: Any) -> Any:
        if isinstance(data, dict) and str(data.get("recipe", "")).startswith(STORED):
            return {**data, "engines": {"gate": data["recipe"], **(data.get("engines") or {})}}
        return data

    @model_validator(mode="after")
    def _recipes_can_be_asked_for(self) -> "LineConfig":
        if self.recipes and not self.plc.handshake:
            raise ValueError("recipes need plc.handshake: true; the PLC asks for them in its control block")
        if self.recipe_number in self.recipes:
            raise ValueError(
                f"recipe_number {self.recipe_number} is also one of recipes; expected every number once"
            )
        return self

    @model_validator(mode="after")
    def _something_decides(self) -> "LineConfig":
        if not self.routing and self.recipe is None:
            raise ValueError(
                "routing is missing; add its steps, or a recipe (edge calibrate thresholds makes one)"
            )
        return self

    @model_validator(mode="after")
    def _verdicts_reach_the_ejector(self) -> "LineConfig":
        """A part must not reach the ejector before its verdict is due."""
        way_ms = self.plc.ejector.camera_to_ejector_mm / self.conveyor.m_per_s - self.plc.ejector.lead_ms
        if self.plc.kind != "none" and self.verdict_timeout_ms > way_ms:
            raise ValueError(
                f"at {self.conveyor.m_per_s:g} m/s a part reaches the ejector {way_ms:.0f} ms after its trigger, "
                f"but its verdict may take {self.verdict_timeout_ms:.0f} ms (frame_timeout_ms + cap_ms + 20); lower "
                "camera.frame_timeout_ms, or set plc.ejector.camera_to_ejector_mm to the true distance"
            )
        return self

    def certificate_state(self, engines: Mapping[str, str]) -> str:
        """``none``, ``holds`` or what does not match; ``engines``: role → SHA-256 of the model."""
        decides = decides_hash(self.routing, self.scores, self.retest, self.rules)
        return certificate_state(self.certificate, engines, decides, self.exposure)

    @property
    def verdict_timeout_ms(self) -> float:
        """From trigger until actuation no longer waits for inspection."""
        return self.camera.frame_timeout_ms + self.budget.cap_ms + 20


def load_line(path: Path) -> LineConfig:
    """Reads a line file; relative paths in it start at its folder. Raises ConfigError with every mistake's line."""
    config = anchored(load_yaml(path, LineConfig), path.parent)
    if config.recipes:
        config = _with_ids(config)
    if config.recipe is None:
        return config
    if config.recipe.startswith(STORED):
        return _with_stored(config, path, config.recipe.removeprefix(STORED))
    return _with_recipe(config, path, _recipe_path(config.recipe))


def _with_ids(config: LineConfig) -> LineConfig:
    """What is active now is written down by its id, so that all processes of the line mean the same one."""
    from edge.recipes.store import RecipeStore

    store = RecipeStore()
    ids = {number: store.find(name).id for number, name in config.recipes.items()}
    return config.model_copy(update={"recipes": ids})


def _with_stored(config: LineConfig, path: Path, name: str) -> LineConfig:
    """By its id, for the same reason."""
    from edge.recipes.store import RecipeStore

    stored = RecipeStore().find(name)
    shared = set(Recipe.model_fields) | {"exposure"}
    _once(config.model_fields_set & shared, path, stored.id)
    if not config.engines.gate.startswith(STORED) or config.engines.classifier is not None:
        _once({"engines"}, path, stored.id)
    recipe, classifier = stored.recipe, stored.engine("classifier")
    engines = {"gate": str(stored.engine("gate")), "classifier": str(classifier) if classifier else None}
    update: dict[str, object] = {name: getattr(recipe, name) for name in shared}
    update["recipe"] = STORED + stored.id
    update["engines"] = config.engines.model_copy(update=engines)
    update["camera"] = config.camera.model_copy(update={"roi": recipe.roi})
    return config.model_copy(update=update)


def _once(twice: set[str], path: Path, recipe: Path | str) -> None:
    if twice:
        raise ConfigError(
            f"{path}: {', '.join(sorted(twice))}: here and in the recipe {recipe}; expected one place: remove them here"
        )


def _with_recipe(config: LineConfig, path: Path, recipe_path: Path) -> LineConfig:
    _once(config.model_fields_set & set(Recipe.model_fields), path, recipe_path)
    recipe = load_yaml(recipe_path, Recipe)
    return config.model_copy(update={name: getattr(recipe, name) for name in Recipe.model_fields})


def anchored(config: LineConfig, folder: Path) -> LineConfig:
    """The same line with absolute paths."""
    engines = config.engines.model_copy(
        update={
            key: str(_anchor(getattr(config.engines, key), folder))
            for key in ("gate", "classifier")
            if getattr(config.engines, key)
            and not getattr(config.engines, key).startswith((SHIPPED, STORE, STORED))
        }
    )
    camera = config.camera
    if isinstance(camera, (ReplaySettings, RecordingSettings)):
        camera = camera.model_copy(update={"path": _anchor(camera.path, folder)})
    if camera.flat_field is not None:
        camera = camera.model_copy(update={"flat_field": _anchor(camera.flat_field, folder)})
    update: dict[str, object] = {"engines": engines, "camera": camera}
    if config.recipe is not None and not config.recipe.startswith((SHIPPED, STORED)):
        update["recipe"] = str(_anchor(config.recipe, folder))
    return config.model_copy(update=update)


def _anchor(path: str | Path, folder: Path) -> Path:
    return (folder / Path(path).expanduser()).resolve()


def engine_path(text: str) -> Path:
    """``shipped:gate`` → the manifest in engines/models; ``store:gate`` → the active, verified entry; else a path.

    Raises ConfigError; EngineError: the store refuses its engine.
    """
    if not text.startswith(STORE):
        return _shipped(text, "models", "engines")
    from engines.store.folder import EngineStore

    try:
        return EngineStore().active(text.removeprefix(STORE))
    except EnginesError as error:
        raise EngineError(str(error)) from error


def _recipe_path(text: str) -> Path:
    """``shipped:demo`` → the recipe in engines/recipes; anything else is a path."""
    return _shipped(text, "recipes", "recipe")


def _shipped(text: str, kind: str, key: str) -> Path:
    if not text.startswith(SHIPPED):
        return Path(text)
    import engines

    folder = Path(engines.__file__).parent / kind
    path = folder / f"{text.removeprefix(SHIPPED)}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(SHIPPED + p.stem for p in folder.glob("*.yaml")))
        raise ConfigError(f"{key}: '{text}' is not shipped; known: {known}")
    return path


def example_path(name: str) -> Path:
    """A file of examples/, in a checkout or installed."""
    here = Path(__file__).parent
    for folder in (here.parent / "examples", here / "examples"):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"examples/{name} is missing from this installation; install the package again")
