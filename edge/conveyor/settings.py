"""The ``conveyor`` section of a line file."""

from typing import Literal

from pydantic import Field, model_validator

from edge.settings import Settings


class ConveyorSettings(Settings):
    """Where the belt speed comes from, and how far one encoder count is."""

    speed_source: Literal["fixed", "plc"] = "plc"
    m_per_s: float = Field(default=1.2, gt=0, le=20)
    """The speed of a fixed belt; with ``plc`` what is assumed until the PLC has been read."""
    max_m_per_s: float = Field(default=3.0, gt=0, le=20)
    """A reading above this is a broken encoder, not a belt."""
    max_m_per_s2: float = Field(default=10.0, gt=0, le=1_000)
    """How fast the belt can stop; a reading that stops sooner is a dead encoder, and everything is rejected."""
    counts_per_mm: float = Field(default=10.0, gt=0, le=10_000)

    @model_validator(mode="after")
    def _speed_within_its_limit(self) -> "ConveyorSettings":
        if self.m_per_s > self.max_m_per_s:
            raise ValueError(f"m_per_s is {self.m_per_s:g}, above max_m_per_s {self.max_m_per_s:g}")
        return self
