"""A recipe: what decides about a product, with its certificate; one YAML that `edge calibrate thresholds` writes."""

from pydantic import Field, field_validator

from edge.inspection.certificate import Certificate
from edge.inspection.rules import RuleSettings
from edge.inspection.settings import RetestSettings, RoutingStep, ScoreSettings, check_routing
from edge.settings import Settings


class Recipe(Settings):
    """Sections of a line file that belong to the product and its engines rather than to the machine."""

    scores: ScoreSettings = ScoreSettings()
    retest: RetestSettings = RetestSettings()
    rules: RuleSettings = RuleSettings()
    routing: tuple[RoutingStep, ...] = Field(min_length=1)
    certificate: Certificate | None = None

    @field_validator("routing")
    @classmethod
    def _speeds_rise(cls, steps: tuple[RoutingStep, ...]) -> tuple[RoutingStep, ...]:
        return check_routing(steps)
