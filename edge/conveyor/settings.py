"""The ``conveyor`` section of a line file."""

from typing import Literal

from pydantic import Field, model_validator

from edge.settings import Settings


class CounterSettings(Settings):
    """An encoder counter of its own on a serial line: it answers the query with a line that holds its count."""

    port: str
    """Device, such as /dev/ttyUSB0 or, better, a name of /dev/serial/by-id that survives replugging."""
    baud: int = Field(default=115_200, ge=1_200, le=4_000_000)
    parity: Literal["N", "E", "O"] = "N"
    query: str = Field(default="?\r\n", min_length=1, max_length=16, pattern=r"^[\x00-\x7f]+$")
    bits: int = Field(default=32, ge=8, le=32)
    """Width of the counter: where it wraps."""
    period_ms: int = Field(default=20, ge=2, le=100)
    silent_after_ms: int = Field(default=100, ge=10, le=1_000)
    """Without a count for so long nobody knows where the parts are, and everything is rejected."""


class ConveyorSettings(Settings):
    """Where the belt speed comes from, and how far one encoder count is."""

    speed_source: Literal["fixed", "plc", "serial"] = "plc"
    """``plc``: speed and encoder are read from the PLC; ``serial``: from ``counter``."""
    counter: CounterSettings | None = None
    m_per_s: float = Field(default=1.2, gt=0, le=20)
    """The speed of a fixed belt; else what is assumed until the encoder has been read."""
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

    @model_validator(mode="after")
    def _counter_is_known(self) -> "ConveyorSettings":
        if (self.speed_source == "serial") != (self.counter is not None):
            there = "missing" if self.counter is None else "given"
            raise ValueError(
                f"speed_source is '{self.speed_source}' and counter is {there}; "
                "expected speed_source: serial with counter: {port: /dev/ttyUSB0}, or neither"
            )
        return self
