"""What the engineer asks for who teaches a new class."""

from dataclasses import dataclass
from pathlib import Path

from calibration.prove import MARGIN_POINTS


@dataclass(frozen=True)
class Wish:
    """One new class, the pictures, and how strict the proof is."""

    name: str
    """Of the new class."""
    images: Path
    data: Path
    """CSV of the old classes' pictures."""
    engines: tuple[str, ...]
    """``shipped:classifier``, ``store:NAME``, or manifests; the first is the one that checks the pictures."""
    why: str = ""
    seed: int = 1
    exam_share: float = 0.0
    margin_points: float = MARGIN_POINTS
    max_added_ms: float | None = None
    activate: bool = True
    pixel_format: str = ""
    """Of the new pictures: ``bayer_rg8`` for a raw mosaic."""
    escape_rate: float = 0.001
    """That the pair's thresholds shall show."""
    confidence: float = 0.95
    cache: Path | None = None
    """Folder of feature banks; None: in the work folder."""
