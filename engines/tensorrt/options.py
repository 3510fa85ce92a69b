"""What a build may be told. Every field is part of the engine's key."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["plan", "fp16", "fp32"]


class BuildOptions(BaseModel):
    """``None`` means TensorRT's own default."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    precision: Precision = "plan"
    """``plan``: what the graph's Q/DQ nodes, its types or a calibration cache say. The others are for comparison."""
    workspace_mib: int = Field(default=1024, ge=16, le=1 << 20)
    optimization_level: int | None = Field(default=None, ge=0, le=5)
    dla_core: int | None = Field(default=None, ge=0, le=3)
    """Build for this deep-learning accelerator; what it cannot do falls back to the GPU."""
    hardware_compatible: bool = False
    """One engine for every GPU from Ampere on; slower."""
    version_compatible: bool = False
    """Loads in later TensorRT releases of the same major version; brings host code along."""
    own_kernels_only: bool = False
    """Without cuBLAS and cuDNN, where their libraries are missing."""
