"""Where a manager has what belongs to the line that is tried."""

from dataclasses import dataclass
from pathlib import Path

NAME = "check"
"""Of the line."""
BASE = Path("/run/edge-check")
"""What the check itself makes. On a /run of its own: units with PrivateTmp see nothing below /tmp."""


@dataclass(frozen=True)
class Places:
    """Of one manager."""

    folder: Path
    """Shared memory and configurations."""
    line_file: Path
    journal: Path


USER = Places(
    BASE / "run/edge" / NAME, BASE / f"config/edge/{NAME}.yaml", BASE / f"config/edge/{NAME}/journal.sqlite"
)
SYSTEM = Places(
    Path("/run/edge") / NAME, Path(f"/etc/edge/{NAME}.yaml"), Path(f"/var/lib/edge/{NAME}/journal.sqlite")
)
