"""The report of ``edge energy``. Its JSON schema is published as docs/energy.schema.json."""

from pydantic import Field

from edge.settings import Settings

FIGURES = {
    "engines_j": "J a part under its engines",
    "line_j": "J a part, whole device",
    "above_rest_j": "J a part above rest",
}
"""Figure of a run → how it is called."""


class RouteEnergy(Settings):
    """Parts of one route within a run."""

    parts: int
    engines_j: float = Field(description="Joules a part: the device's power over the time of its engines.")


class Run(Settings):
    """The line once, in one way to judge."""

    arm: str
    parts: int
    seconds: float = Field(description="From the first trigger to the last acknowledgement.")
    watts: float = Field(description="Mean of the device meanwhile.")
    rest_watts: float = Field(description="Mean just before, no line running.")
    engine_ms: float = Field(
        description="Mean time of a part from the begin of its first engine to the end of its last."
    )
    engines_j: float = Field(description="A part: the device's power over the time of its engines.")
    line_j: float = Field(description="A part: all that the device took, the twin included.")
    above_rest_j: float = Field(description="A part: line_j without what the device takes at rest.")
    routes: dict[str, RouteEnergy]
    verdicts: dict[str, int]
    late: int


class Span(Settings):
    """Over the repetitions."""

    median: float
    min: float
    max: float


class Ratio(Settings):
    """One arm over another in the same repetition: below 1 it takes less."""

    arm: str
    over: str
    figure: str
    ratio: Span


class EnergyReport(Settings):
    """Three ways to judge the same parts, in turns."""

    schema_version: int = 1
    version: str
    host: str
    at: str
    line: str
    source: str = Field(description="twin, or the camera kind of the line.")
    rails: tuple[str, ...] = Field(
        description="What the device tells; the total is of the rail that feeds all."
    )
    m_per_s: float
    runs: tuple[Run, ...]
    arms: dict[str, dict[str, Span]] = Field(description="Arm → figure → joules a part.")
    ratios: tuple[Ratio, ...]
    throttled: tuple[str, ...] = Field((), description="What held the clocks down meanwhile.")
