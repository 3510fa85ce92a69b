"""Which pictures are kept, where they lie and how much room they get."""

from pathlib import Path

from pydantic import Field

from edge.records.journal.settings import state_folder
from edge.settings import Settings

FOLDER_NAME = "pictures"


class ArchiveSettings(Settings):
    """Frames of parts as PNG files, exactly as the camera gave them; written by the reporting process."""

    folder: Path | None = Field(
        None,
        description="Where they lie; left out: NAME/pictures in /var/lib/edge, or without root in ~/.local/state/edge.",
    )
    rejects: bool = Field(True, description="Keep every part that was rejected.")
    uncertain: bool = Field(True, description="Keep every part that the gate did not settle.")
    passes_one_in: int = Field(
        1000, ge=0, description="Keep one in so many of the parts that pass, by their id; 0: none."
    )
    around_fault: int = Field(
        3,
        ge=0,
        le=20,
        description="Keep so many parts before and after one that was rejected for a fault of the line instead of its "
        "own; 0: none. Every frame is copied then.",
    )
    max_per_s: float = Field(
        20.0, gt=0, le=1000, description="More pictures than this a second are skipped and counted."
    )
    keep_days: float = Field(30.0, gt=0, le=3650, description="Older pictures go.")
    max_mib: float = Field(10_240.0, gt=0, description="The oldest pictures go beyond this.")
    min_free_mib: float = Field(
        1024.0,
        ge=0,
        description="So much of the disk stays free: the oldest pictures go, and when none is left none is added.",
    )


def archive_folder(line: str, settings: ArchiveSettings | None) -> Path:
    """Of a line."""
    if settings is not None and settings.folder is not None:
        return settings.folder
    return state_folder() / line / FOLDER_NAME
