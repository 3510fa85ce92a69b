"""The line file: one YAML that says what a line is. Composes the sections that the packages define."""

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from edge.camera.settings import CameraSettings, RecordingSettings, ReplaySettings
from edge.conveyor.settings import ConveyorSettings
from edge.errors import ConfigError
from edge.inspection.settings import (
    SHIPPED,
    BudgetSettings,
    EngineSettings,
    ExposureSettings,
    RealtimeSettings,
    RoutingStep,
    check_routing,
)
from edge.plc.settings import PlcSettings
from edge.settings import Settings
from edge.yaml_file import load_yaml


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
    routing: tuple[RoutingStep, ...] = Field(
        min_length=1, description="Thresholds by line speed, slowest first."
    )
    exposure: ExposureSettings = ExposureSettings()
    plc: PlcSettings
    records: RecordSettings = RecordSettings()
    realtime: RealtimeSettings = RealtimeSettings()

    @field_validator("routing")
    @classmethod
    def _speeds_rise(cls, steps: tuple[RoutingStep, ...]) -> tuple[RoutingStep, ...]:
        return check_routing(steps)

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

    @property
    def verdict_timeout_ms(self) -> float:
        """From trigger until actuation no longer waits for inspection."""
        return self.camera.frame_timeout_ms + self.budget.cap_ms + 20


def load_line(path: Path) -> LineConfig:
    """Reads a line file; relative paths in it start at its folder. Raises ConfigError with every mistake's line."""
    return anchored(load_yaml(path, LineConfig), path.parent)


def anchored(config: LineConfig, folder: Path) -> LineConfig:
    """The same line with absolute paths."""
    engines = config.engines.model_copy(
        update={
            key: str(_anchor(getattr(config.engines, key), folder))
            for key in ("gate", "classifier")
            if getattr(config.engines, key) and not getattr(config.engines, key).startswith(SHIPPED)
        }
    )
    camera = config.camera
    if isinstance(camera, (ReplaySettings, RecordingSettings)):
        camera = camera.model_copy(update={"path": _anchor(camera.path, folder)})
    return config.model_copy(update={"engines": engines, "camera": camera})


def _anchor(path: str | Path, folder: Path) -> Path:
    return (folder / Path(path).expanduser()).resolve()


def engine_path(text: str) -> Path:
    """``shipped:gate`` → the manifest in engines/models; anything else is a path."""
    if not text.startswith(SHIPPED):
        return Path(text)
    import engines

    folder = Path(engines.__file__).parent / "models"
    path = folder / f"{text.removeprefix(SHIPPED)}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(SHIPPED + p.stem for p in folder.glob("*.yaml")))
        raise ConfigError(f"engines: '{text}' is not shipped; known: {known}")
    return path


def example_path(name: str) -> Path:
    """A file of examples/, in a checkout or installed."""
    here = Path(__file__).parent
    for folder in (here.parent / "examples", here / "examples"):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"examples/{name} is missing from this installation; install the package again")
