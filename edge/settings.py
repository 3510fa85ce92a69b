"""Base of every section of a line file."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen, and an unknown key is an error: a typo in a line file must never be a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
