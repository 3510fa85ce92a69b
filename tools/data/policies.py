"""What may be done to a picture, by class: YAML with ``default:`` and ``classes:``."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Share = Annotated[float, Field(ge=0, le=1)]


class Policy(BaseModel):
    """Limits of the random changes. A class names only what differs from the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    flip_horizontal: bool = True
    flip_vertical: bool = True
    rotation_step_deg: Annotated[float, Field(gt=0, le=180)] = 10
    rotation_max_deg: Annotated[float, Field(ge=0, le=180)] = 30
    scale_min: Annotated[float, Field(gt=0, le=1)] = 0.8
    scale_max: Annotated[float, Field(ge=1, le=4)] = 1.2
    perspective: Annotated[float, Field(ge=0, le=0.2)] = 0.05
    """Each corner moves by up to this share of the picture's width and height."""
    exposure_ev: Annotated[float, Field(ge=0, le=2)] = 0.5
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.15
    noise_levels: Annotated[float, Field(ge=0, le=30)] = 3
    """Standard deviation of the noise, in grey levels of 255, is drawn up to this."""
    blend_share: _Share = 0.25
    """Share of the copies that are a defect laid onto a good part; needs a good class and boxes."""


class Policies(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    default: Policy = Policy()
    classes: dict[str, Policy] = Field(default_factory=dict)

    def of(self, label: str) -> Policy:
        """The default with what the class sets itself."""
        own = self.classes.get(label)
        return self.default.model_copy(update=own.model_dump(exclude_unset=True)) if own else self.default
