"""The report of ``edge profile``. Its JSON schema is published as docs/profile.schema.json."""

from pydantic import Field

from edge.settings import Settings


class Spread(Settings):
    """Milliseconds over the parts in which it happened; each quantile is a value that was measured."""

    parts: int
    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float


class Overrun(Settings):
    """A part that was late, or one of the slowest where none was."""

    part_id: int
    latency_ms: float | None
    budget_ms: float
    stage: str = Field(description="The one that took most beyond its median.")
    beyond_ms: float = Field(description="How much it took beyond.")
    causes: tuple[str, ...] = Field(
        (), description="What the machine did meanwhile; empty: nothing that shows."
    )


class Overruns(Settings):
    """Parts whose verdict was not in the PLC before its deadline, or for which a look did not fit."""

    late: int
    no_time: int
    by_stage: dict[str, int] = Field(default_factory=dict)
    by_cause: dict[str, int] = Field(default_factory=dict)
    worst: tuple[Overrun, ...] = ()


class Gap(Settings):
    """The first part after the line had rested."""

    gap_s: float
    latency_ms: float
    usual_p50_ms: float


class SpeedStep(Settings):
    """Parts at one belt speed."""

    m_per_s: float
    parts: int
    budget_ms: float
    latency_ms: Spread
    late: int
    no_time: int
    holds: bool = Field(description="Nobody late, no look left out, p99.9 within the budget.")


class Machine(Settings):
    """What the loop's thread and the machine went through."""

    seconds: float
    page_faults: int
    major_page_faults: int
    voluntary_switches: int
    involuntary_switches: int
    waited_for_processor_ms: float
    interrupts_per_s: float
    hottest_c: float | None = None
    slowest_mhz: float | None = None


class Throttling(Settings):
    """Latency of parts while something held the clocks down, beside that of the others."""

    parts_by_cause: dict[str, int] = Field(default_factory=dict, description="A part may have several.")
    held_ms: Spread | None = None
    free_ms: Spread | None = None


class ProfileReport(Settings):
    """One profile of one line on one machine."""

    schema_version: int = 1
    version: str
    host: str
    at: str
    line: str
    source: str = Field(description="twin, or the camera kind of the line.")
    m_per_s: float
    parts: int
    budget_ms: float
    stages: dict[str, Spread]
    latency_ms: Spread | None
    budget_use: float | None = Field(description="p99.9 of the latency as a share of the budget.")
    overruns: Overruns
    warm_up_ms: tuple[float, ...] = Field((), description="Latency of the first parts, in their order.")
    idle_gap: tuple[Gap, ...] = ()
    sweep: tuple[SpeedStep, ...] = ()
    max_speed_m_per_s: float | None = Field(
        None, description="Highest speed of the sweep up to which all steps hold."
    )
    machine: Machine | None = None
    throttling: Throttling | None = Field(None, description="Left out: a report of an older release.")
