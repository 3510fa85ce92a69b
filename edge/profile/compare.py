"""Two profiles side by side: what became slower."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edge.errors import RecordError
from edge.profile.report import ProfileReport, Spread

KEYS = ("p50", "p99")
SMALL_MS = 0.05
"""Differences below this are nobody's business."""


@dataclass(frozen=True)
class Row:
    """One quantile of one stage in both."""

    name: str
    quantile: str
    before_ms: float
    after_ms: float

    @property
    def ratio(self) -> float:
        """After over before."""
        return self.after_ms / self.before_ms if self.before_ms else 1.0

    def worse(self, tolerance: float) -> bool:
        """Beyond the tolerance, and by more than a trifle."""
        return self.ratio > 1 + tolerance and self.after_ms - self.before_ms > SMALL_MS


def load(path: Path) -> ProfileReport:
    """Raises RecordError when the file is no report of ``edge profile``."""
    try:
        return ProfileReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(
            f"{path}: cannot be read: {error}; expected a report of edge profile --report"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise RecordError(
            f"{path}: {place}: {first['msg']}; expected a report of edge profile --report (docs/profile.schema.json)"
        ) from error


def compare(before: ProfileReport, after: ProfileReport) -> list[Row]:
    """Latency first, then the stages that both have."""
    rows = _rows("latency", before.latency_ms, after.latency_ms)
    for name, spread in before.stages.items():
        rows += _rows(name, spread, after.stages.get(name))
    return rows


def _rows(name: str, before: Spread | None, after: Spread | None) -> list[Row]:
    if before is None or after is None:
        return []
    return [Row(name, key, float(getattr(before, key)), float(getattr(after, key))) for key in KEYS]
