"""Sections of a line file that the inspection process reads."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from edge.camera.settings import Roi
from edge.inspection.rules import RuleSettings
from edge.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
SHIPPED = "shipped:"
STORE = "store:"
STORED = "stored:"
"""A bundle of the recipe store (edge recipe)."""
MOST_RECIPES = 16
"""All of them are in memory, loaded and warm; edge/core/loop.cpp holds the same number."""


class BudgetSettings(Settings):
    """budget = min(cap_ms, window_mm / line speed), from the last packet received to the PLC's acknowledgement."""

    cap_ms: float = Field(15.0, gt=0, le=1000, description="Longest budget, ms.")
    window_mm: float = Field(
        18.0, gt=0, description="Belt travel within which the verdict must be in the PLC, mm."
    )


class EngineSettings(Settings):
    """Which engines look at the parts."""

    gate: str = Field(
        description="Manifest of the fast gate: a path beside this file, shipped:gate, or store:NAME for "
        "the active engine of the engine store."
    )
    classifier: str | None = Field(
        None,
        description="Manifest of the classifier for uncertain parts: a path, shipped:classifier or store:NAME. Left "
        "out, uncertain parts are rejected.",
    )
    threads: int = Field(
        1, ge=1, le=64, description="Threads of one inference. 1 runs on the loop's own thread and CPU."
    )


class ScoreMap(Settings):
    """Calibrated log-odds = gain × log-odds + bias (Platt scaling; gain is 1 / temperature)."""

    gain: float = Field(1.0, gt=0, le=100, description="1 / temperature.")
    bias: float = Field(0.0, ge=-50, le=50, description="Shift of the log-odds.")


class EngineScores(Settings):
    """How the scores of one engine become probabilities."""

    good: ScoreMap = Field(ScoreMap(), description="Score of the good class.")
    defect: ScoreMap = Field(ScoreMap(), description="Summed score of all defect classes.")
    empty: ScoreMap = Field(ScoreMap(), description="Score of the empty class.")


class ScoreSettings(Settings):
    """Calibration of scores, fitted by `edge calibrate thresholds`; thresholds are compared with its results."""

    gate: EngineScores = EngineScores()
    classifier: EngineScores = EngineScores()


class Expected(Settings):
    """What a step gave on the certification parts; for people, the loop does not read it."""

    escalated: Share = Field(description="Share of parts that the gate leaves to the classifier.")
    no_time: Share = Field(description="Share of parts rejected because the classifier does not fit.")
    latency_ms: float = Field(ge=0, description="Mean engine time of a part, ms.")
    latency_p999_ms: float = Field(ge=0, description="p99.9 of the engine time, ms.")
    escape: Share = Field(description="Share of the defective parts that passed.")
    overkill: Share = Field(description="Share of the good parts that were rejected.")


class RoutingStep(Settings):
    """Thresholds for line speeds up to ``up_to_m_per_s``; parts faster than the last step are rejected (`speed`)."""

    up_to_m_per_s: float = Field(gt=0, description="Highest line speed of this step, m/s.")
    gate_good: Share = Field(
        description="The gate passes a part alone at or above this score of the good class."
    )
    gate_defect: Share = Field(
        description="The gate rejects alone at or above this summed score of all defects."
    )
    gate_empty: Share = Field(0.99, description="At or above this score of the empty class there is no part.")
    classifier_good: Share = Field(
        description="The classifier passes at or above this score of the good class."
    )
    retest_good: Share | None = Field(
        None,
        description="From this score of the good class on the classifier takes a second look, and the mean of both "
        "decides; without time for it the part is rejected (no_time). Left out: one look is enough.",
    )
    expected: Expected | None = None


class RetestSettings(Settings):
    """The second look of the classifier: another view of the same frame; the mean of both looks decides."""

    view: Literal["none", "mirrored", "exposed"] = Field(
        "none", description="mirrored: left and right exchanged; exposed: brightened to brightness_mean."
    )
    brightness_mean: float = Field(110.0, gt=0, le=255, description="Grey level of the view `exposed`.")


class FusionSettings(Settings):
    """Several frames of one part, of one camera or of several: one verdict."""

    frames: int = Field(
        1, ge=1, le=16, description="Frames of every part; one that does not come is a reject."
    )
    rule: Literal["any_reject", "majority"] = Field(
        "any_reject", description="any_reject: one reject is enough; majority: a tie is a reject."
    )


class ExposureSettings(Settings):
    """A frame outside these limits is not judged: underexposed, overexposed, blurred or stale, rejected."""

    min_mean: float = Field(12.0, ge=0, le=255, description="Lowest mean grey level.")
    max_mean: float = Field(235.0, ge=0, le=255, description="Highest mean grey level.")
    max_dark_share: Share = Field(0.9, description="Largest share of pixels at grey level 4 or below.")
    max_bright_share: Share = Field(0.5, description="Largest share of pixels at grey level 251 or above.")
    min_sharpness: float = Field(
        0.0,
        ge=0,
        le=20,
        description="Lowest energy of the Laplacian over the variance, in the gate's input; 0: not looked at.",
    )
    max_age_ms: float = Field(
        0.0, ge=0, le=10_000, description="Oldest frame, end of exposure to judged; 0: any age."
    )


class RealtimeSettings(Settings):
    """How the processes share the machine."""

    priority: int = Field(
        70,
        ge=0,
        le=98,
        description="SCHED_FIFO priority of the loop where permitted; 0: ordinary scheduling.",
    )
    loop_cpu: int | None = Field(
        None, ge=0, description="CPU of the loop; left out, the last one of several."
    )
    keep_warm_ms: float = Field(250.0, ge=0, description="The classifier never rests longer; 0: it may.")


class RecipeConfig(Settings):
    """What the inspection process is told of one recipe. Paths are absolute."""

    number: int = Field(0, ge=0, le=65535)
    gate: Path
    classifier: Path | None
    roi: Roi | None
    exposure: ExposureSettings
    routing: tuple[RoutingStep, ...] = Field(min_length=1)
    scores: ScoreSettings = ScoreSettings()
    retest: RetestSettings = RetestSettings()
    rules: RuleSettings = RuleSettings()
    stored: str = ""
    """Id in the recipe store; empty: the line file's own."""
    earlier: "RecipeConfig | None" = None
    """What stands by for it, loaded, should a watch take it back."""

    @field_validator("routing")
    @classmethod
    def _speeds_rise(cls, steps: tuple[RoutingStep, ...]) -> tuple[RoutingStep, ...]:
        return check_routing(steps)


class InspectionConfig(RecipeConfig):
    """All that ``edge.inspection.process`` is told; line.py writes it as JSON. Its own recipe is the first."""

    recipes: tuple[RecipeConfig, ...] = ()
    threads: int
    flat_field: Path | None = None
    budget: BudgetSettings
    fusion: FusionSettings = FusionSettings()
    frame_timeout_ms: float
    max_speed_m_per_s: float
    priority: int
    loop_cpu: int | None
    keep_warm_ms: float
    ignore_deadlines: bool = False


def check_routing(steps: tuple[RoutingStep, ...]) -> tuple[RoutingStep, ...]:
    """Raises ValueError unless there are steps, and their speeds rise."""
    if not steps:
        raise ValueError("no steps; give at least one, or a recipe (edge calibrate thresholds makes one)")
    speeds = [step.up_to_m_per_s for step in steps]
    if sorted(set(speeds)) != speeds:
        raise ValueError(f"the steps' up_to_m_per_s are {speeds}; each must be higher than the one before")
    return steps
