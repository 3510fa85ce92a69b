"""Faults that the twin camera shows on demand, by trigger id."""

from pathlib import Path

from pydantic import Field, ValidationError

from edge.errors import TwinError
from edge.settings import Settings


class CameraFaults(Settings):
    """What goes wrong, and at which triggers."""

    drop: frozenset[int] = Field(default=frozenset(), description="Triggers whose frame never comes.")
    short: frozenset[int] = Field(default=frozenset(), description="Triggers whose frame loses a half.")
    close: frozenset[int] = Field(
        default=frozenset(),
        description="Triggers at which the device hangs up; their frame is lost, and it accepts again.",
    )
    delay_ms: dict[int, float] = Field(default={}, description="Trigger → time by which its frame is late.")
    exposure_ev: dict[int, float] = Field(
        default={}, description="Trigger → exposure of the frame: -8 is dark, 4 is white."
    )

    @classmethod
    def parse(cls, text: str) -> "CameraFaults":
        """JSON, or the path of a JSON file. Raises TwinError naming the key that is wrong."""
        try:
            return cls.model_validate_json(text if text.lstrip().startswith("{") else Path(text).read_bytes())
        except (OSError, ValidationError) as error:
            raise TwinError(f"--faults {text}: {error}") from error
