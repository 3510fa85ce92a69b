"""The line file: one YAML that says what a line is. Composes the sections that the packages define."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from edge.camera.settings import CameraSettings, RecordingSettings, ReplaySettings
from edge.conveyor.settings import ConveyorSettings
from edge.errors import ConfigError, EngineError
from edge.inspection.certificate import Certificate, certificate_state, decides_hash
from edge.inspection.recipe import Recipe
from edge.inspection.rules import RuleSettings
from edge.inspection.settings import (
    SHIPPED,
    STORE,
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
from edge.settings import Settings
from edge.yaml_file import load_yaml
from engines.errors import EnginesError


class RecordSettings(Settings):
    """Where part records wait for the information plane."""

    ring_path: Path | None = Field(
        None, description="Ring file of part records; left out: in memory (/dev/shm), gone after a reboot."
    )
    capacity: int = Field(65_536, ge=256, le=16_777_216, description="Records that the ring file holds.")


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
        "beside this file, or shipped:demo.",
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
    realtime: RealtimeSettings = RealtimeSettings()

    @field_validator("routing")
    @classmethod
    def _speeds_rise(cls, steps: tuple[RoutingStep, ...]) -> tuple[RoutingStep, ...]:
        return check_routing(steps)

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
    return config if config.recipe is None else _with_recipe(config, path, _recipe_path(config.recipe))


def _with_recipe(config: LineConfig, path: Path, recipe_path: Path) -> LineConfig:
    twice = sorted(config.model_fields_set & set(Recipe.model_fields))
    if twice:
        raise ConfigError(
            f"{path}: {', '.join(twice)}: here and in the recipe {recipe_path}; expected one place: remove them here"
        )
    recipe = load_yaml(recipe_path, Recipe)
    return config.model_copy(update={name: getattr(recipe, name) for name in Recipe.model_fields})


def anchored(config: LineConfig, folder: Path) -> LineConfig:
    """The same line with absolute paths."""
    engines = config.engines.model_copy(
        update={
            key: str(_anchor(getattr(config.engines, key), folder))
            for key in ("gate", "classifier")
            if getattr(config.engines, key) and not getattr(config.engines, key).startswith((SHIPPED, STORE))
        }
    )
    camera = config.camera
    if isinstance(camera, (ReplaySettings, RecordingSettings)):
        camera = camera.model_copy(update={"path": _anchor(camera.path, folder)})
    update: dict[str, object] = {"engines": engines, "camera": camera}
    if config.recipe is not None and not config.recipe.startswith(SHIPPED):
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
