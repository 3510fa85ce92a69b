"""What the reporting process is started with."""

from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from edge.errors import ConfigError
from edge.records.archive.settings import ArchiveSettings
from edge.records.journal.settings import JournalSettings
from edge.settings import Settings


class MetricsSettings(Settings):
    """Prometheus metrics over HTTP, without a password: keep it on loopback, or behind something that has one."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is everybody.")
    port: int = Field(9464, ge=0, le=65535, description="0: any free one.")


class ReportSettings(Settings):
    """What the reporting process offers; it starts with a journal or with any of this."""

    metrics: MetricsSettings | None = Field(None, description="Left out: nothing listens.")
    telemetry: bool = Field(
        False,
        description="Power, temperature, clocks and throttling from sysfs, and the energy of a part by route.",
    )
    jtop: bool = Field(
        False,
        description="With telemetry: ask jetson-stats' service for what sysfs does not tell, and for the power mode "
        "while the line runs; extra [jetson], group jtop.",
    )
    live_profile: bool = Field(
        False, description="Keep histograms of every stage and the slowest parts for `edge profile live`."
    )

    @model_validator(mode="after")
    def _jtop_is_telemetry(self) -> "ReportSettings":
        if self.jtop and not self.telemetry:
            raise ValueError(
                "jtop: true without telemetry, which reads it; set telemetry: true, or take jtop out"
            )
        return self

    @property
    def wanted(self) -> bool:
        """Whether there is anything to do."""
        return self.metrics is not None or self.live_profile or self.telemetry


class ReportConfig(Settings):
    """All that ``edge.report.process`` is told, as JSON."""

    line: str
    classes: tuple[str, ...]
    config_sha256: str
    """Of the line's configuration as it runs."""
    journal: JournalSettings | None = None
    journal_path: Path | None = None
    """Where it lies, if there is one."""
    archive: ArchiveSettings | None = None
    archive_path: Path | None = None
    """Where its pictures lie, if there is one."""
    report: ReportSettings = ReportSettings()
    recipes: tuple[int, ...] = ()
    """Their numbers, the line's own first."""
    stored: tuple[tuple[int, bool, str], ...] = ()
    """Of those in the recipe store: number, whether it stands by for the one of that number, id."""
    live_path: Path
    """Where the continuous profile is left."""

    @classmethod
    def load(cls, path: Path) -> "ReportConfig":
        """Raises ConfigError when the file cannot be read or does not fit."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise ConfigError(f"{path}: the configuration of the reporting process: {error}") from error
