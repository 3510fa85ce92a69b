"""A picture's file name says all that is asked for: no index that could be lost or lie.

``2026-11-26/20261126T021530.123456Z_1234_reject_defect_uncertain+reject_crack.png``: UTC of the trigger, part, what
finally held and why, why it was kept, class.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

_TIME = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(
    r"(?P<time>\d{8}T\d{6}\.\d{6}Z)_(?P<part>\d+)_(?P<verdict>[a-z-]+)_(?P<reason>[a-z-]+)_(?P<why>[a-z+-]+)_"
    r"(?P<label>[A-Za-z0-9_-]*)\.png"
)


@dataclass(frozen=True)
class Picture:
    """What is known of an archived frame."""

    wall_ns: int
    part_id: int
    verdict: str
    reason: str
    why: tuple[str, ...]
    """Of choice.WHY."""
    label: str
    """Class of the decision."""

    @property
    def path(self) -> Path:
        """Below the archive's folder; sorts by time."""
        time = datetime.fromtimestamp(self.wall_ns / 1e9, timezone.utc)
        verdict, reason = (word.replace("_", "-") for word in (self.verdict, self.reason))
        label = re.sub(r"[^A-Za-z0-9_-]", "-", self.label)
        name = f"{time.strftime(_TIME)}_{self.part_id}_{verdict}_{reason}_{'+'.join(self.why)}_{label}.png"
        return Path(time.strftime("%Y-%m-%d")) / name

    @classmethod
    def of(cls, path: Path) -> "Picture | None":
        """None: not one of ours."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        time = datetime.strptime(match["time"], _TIME).replace(tzinfo=timezone.utc)
        return cls(
            wall_ns=round(time.timestamp() * 1e6) * 1000,
            part_id=int(match["part"]),
            verdict=match["verdict"].replace("-", "_"),
            reason=match["reason"].replace("-", "_"),
            why=tuple(match["why"].split("+")),
            label=match["label"],
        )
