"""What a command leaves behind."""

from pathlib import Path

from calibration.errors import CalibrationError
from engines.whole_file import write_whole


def write_text(path: Path, text: str) -> None:
    """Whole or not at all. Raises CalibrationError."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise CalibrationError(
            f"{path}: cannot be written ({error.strerror}); choose another place"
        ) from error
