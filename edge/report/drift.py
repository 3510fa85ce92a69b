"""Slow changes of light and focus, long before the exposure guard has to reject a frame."""

import math
from dataclasses import dataclass, field
from typing import Any

from edge.report.schema import Drift

_REFERENCE_PARTS = 50
_MEMORY_PARTS = 100
"""Parts over which the present value is averaged."""


@dataclass
class _Slow:
    """One quantity: its mean over the first parts, and its moving mean now."""

    count: int = 0
    reference: float = 0.0
    now: float = 0.0
    furthest: float = 0.0
    """Largest distance from the reference so far, as log2 of the ratio."""

    def add(self, value: float) -> None:
        self.count += 1
        if self.count <= _REFERENCE_PARTS:
            self.reference += (value - self.reference) / self.count
            self.now = self.reference
            return
        self.now += (value - self.now) / _MEMORY_PARTS
        if abs(self.log2_ratio) > abs(self.furthest):
            self.furthest = self.log2_ratio

    @property
    def log2_ratio(self) -> float:
        return math.log2(self.now / self.reference) if self.now > 0 and self.reference > 0 else 0.0


@dataclass
class DriftWatch:
    """Fed with part records; frames that were not looked at do not count."""

    _brightness: _Slow = field(default_factory=_Slow)
    _sharpness: _Slow = field(default_factory=_Slow)

    def add(self, record: Any) -> None:
        """One part record."""
        if record["brightness_mean"] > 0:
            self._brightness.add(float(record["brightness_mean"]))
        if record["sharpness"] > 0:
            self._sharpness.add(float(record["sharpness"]))

    def summary(self) -> Drift:
        """As the report has it; all null before there is a reference."""
        light, focus = self._brightness, self._sharpness
        if light.count <= _REFERENCE_PARTS:
            return Drift()
        sharp = focus.count > _REFERENCE_PARTS
        return Drift(
            brightness_first=round(light.reference, 2),
            brightness_now=round(light.now, 2),
            drift_ev=round(light.log2_ratio, 3),
            furthest_ev=round(light.furthest, 3),
            sharpness_ratio=round(2**focus.log2_ratio, 4) if sharp else None,
            sharpness_lowest_ratio=round(2 ** min(focus.furthest, 0.0), 4) if sharp else None,
        )
