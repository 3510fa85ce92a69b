"""Where the journal lies and how much of it is kept."""

import os
from pathlib import Path

from pydantic import Field

from edge.settings import Settings

FILE_NAME = "journal.sqlite"
BYTES_PER_PART = 380.0
"""On the disk: ``python -m benchmarks.records size``."""


class JournalSettings(Settings):
    """Every part for good, in SQLite; written by the reporting process."""

    path: Path | None = Field(
        None,
        description="File of the journal; left out: NAME/journal.sqlite in /var/lib/edge, or without root in "
        "~/.local/state/edge.",
    )
    keep_days: float = Field(90.0, gt=0, le=3650, description="Older parts go.")
    max_mib: float = Field(
        4096.0,
        gt=0,
        le=1_048_576,
        description="The oldest parts go beyond this; a day at 60 parts/s needs about 1,900.",
    )


def state_folder() -> Path:
    """Of all lines: EDGE_STATE_DIR, /var/lib/edge where we may write it, else the user's own."""
    told = os.environ.get("EDGE_STATE_DIR")
    if told:
        return Path(told)
    system = Path("/var/lib/edge")
    if os.access(system if system.exists() else system.parent, os.W_OK):
        return system
    return Path.home() / ".local/state/edge"


def journal_path(line: str, settings: JournalSettings | None) -> Path:
    """Of a line."""
    if settings is not None and settings.path is not None:
        return settings.path
    return state_folder() / line / FILE_NAME
