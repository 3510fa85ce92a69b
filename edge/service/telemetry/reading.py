"""One look at power, heat and clocks, whoever tells it."""

from dataclasses import dataclass, field

TOTALS = ("VDD_IN", "VIN", "POM_5V_IN")
"""Rails that feed all others, by their names on Orin, on AGX boards and on Nano."""


@dataclass(frozen=True)
class Cause:
    """Something that holds the clocks down: ``cooling cpu-throttle-alert: step 3``."""

    name: str
    """Stays the same while it lasts; without a colon."""
    detail: str
    severity: int = 1
    """Grows when the same cause becomes worse."""

    def __str__(self) -> str:
        """Name and detail."""
        return f"{self.name}: {self.detail}"


@dataclass(frozen=True)
class Reading:
    """One look; what this machine does not tell is left out."""

    at_ns: int
    power_w: dict[str, float] = field(default_factory=dict)
    """Rail → watts."""
    temperature_c: dict[str, float] = field(default_factory=dict)
    """Thermal zone → degrees."""
    gpu_load: float | None = None
    """0..1."""
    gpu_mhz: float | None = None
    cpu_mhz: float | None = None
    """Of the slowest processor."""
    throttled: tuple[Cause, ...] = ()
    """What holds the clocks down now; empty: nothing."""
    limits: tuple[Cause, ...] = ()
    """Limits of the clocks that stood at the first look: somebody's choice, such as a power mode."""

    power_mode: str | None = None
    """Name of the Jetson's power mode, where somebody tells it continually."""
    clocks_locked: bool | None = None
    """Whether jetson_clocks holds the clocks at their highest."""

    @property
    def total_w(self) -> float | None:
        """Of the rail that feeds the others; where none is known by name, the sum."""
        for name in TOTALS:
            if name in self.power_w:
                return self.power_w[name]
        return sum(self.power_w.values()) if self.power_w else None
