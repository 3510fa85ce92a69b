"""Decision rules as data: class × size × position → what becomes of the part."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from edge import _core
from edge.errors import ConfigError
from edge.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
ANY = "any"
_NO_LIMIT = 2.0
"""Above every score."""


class ZoneSettings(Settings):
    """A rectangle in shares of the part's box (of the picture, with a gate that gives no boxes)."""

    x1: Share = 0.0
    y1: Share = 0.0
    x2: Share = 1.0
    y2: Share = 1.0

    @model_validator(mode="after")
    def _has_an_area(self) -> "ZoneSettings":
        if self.x1 >= self.x2 or self.y1 >= self.y2:
            raise ValueError("x1 must be below x2 and y1 below y2")
        return self


class RuleStep(Settings):
    """One rule. What is unknown of a defect (size, place) never helps its part through a rule that passes."""

    model_config = ConfigDict(populate_by_name=True)

    defect: str = Field(alias="class", description="Name of a defect class, or any.")
    zone: str | None = Field(None, description="Name of a zone; left out: anywhere.")
    min_score: Share = Field(0.0, description="The rule holds at or above this summed score of the defects.")
    min_size_mm: float = Field(0.0, ge=0, description="The rule holds from this length of the defect on, mm.")
    max_size_mm: float | None = Field(None, gt=0, description="The rule holds up to this length, mm.")
    action: Literal["pass", "reject", "rework", "hold_line"] = Field(
        description="hold_line: reject, and READY stays down until `edge route release`."
    )
    bin: int = Field(0, ge=0, le=255, description="Where a rejected part goes; 0: the ordinary reject bin.")


class RuleSettings(Settings):
    """Asked in their order once a defect was found; the first that holds decides. None: reject."""

    steps: tuple[RuleStep, ...] = Field((), max_length=250)
    zones: dict[str, ZoneSettings] = Field(default={}, description="Places on the part, by name.")
    class_limits: dict[str, Share] = Field(
        default={},
        description="No part passes on which a class has at least this score (as the engine gives it).",
    )
    mm_per_pixel: float = Field(
        0.0, ge=0, description="Of the frame; 0: unknown, and so is the size of every defect."
    )

    @model_validator(mode="after")
    def _zones_are_known(self) -> "RuleSettings":
        for step in self.steps:
            if step.zone is not None and step.zone not in self.zones:
                raise ValueError(f"zone '{step.zone}' is not defined; known: {sorted(self.zones) or 'none'}")
            if step.max_size_mm is not None and step.max_size_mm < step.min_size_mm:
                raise ValueError(
                    f"max_size_mm {step.max_size_mm:g} is below min_size_mm {step.min_size_mm:g}"
                )
        return self


_ACTIONS = {
    "pass": _core.Action.PASS,
    "reject": _core.Action.REJECT,
    "rework": _core.Action.REWORK,
    "hold_line": _core.Action.HOLD_LINE,
}


def native_rules(rules: RuleSettings, classes: Sequence[str]) -> tuple[list[_core.Rule], list[_core.Zone]]:
    """As the loop takes them; raises ConfigError for a class that the engines do not know."""
    zones = list(rules.zones)
    native = [
        _core.Rule(
            class_id=-1 if step.defect == ANY else _class_id(step.defect, classes),
            zone=-1 if step.zone is None else zones.index(step.zone),
            min_score=step.min_score,
            min_size_mm=step.min_size_mm,
            max_size_mm=1e9 if step.max_size_mm is None else step.max_size_mm,
            action=_ACTIONS[step.action],
            bin=step.bin,
        )
        for step in rules.steps
    ]
    return native, [_core.Zone(zone.x1, zone.y1, zone.x2, zone.y2) for zone in rules.zones.values()]


def class_limits(rules: RuleSettings, classes: Sequence[str]) -> list[float]:
    """By class id; raises ConfigError for a class that the engines do not know."""
    limits = [_NO_LIMIT] * len(classes)
    for name, limit in rules.class_limits.items():
        limits[_class_id(name, classes)] = limit
    return limits


def _class_id(name: str, classes: Sequence[str]) -> int:
    if name not in classes:
        raise ConfigError(
            f"rules: class '{name}' is not one that the engines know; expected 'any' or one of {list(classes)}"
        )
    return list(classes).index(name)
