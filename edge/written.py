"""Files that a command was asked to leave."""

from pathlib import Path

from rich.console import Console

from edge.errors import EdgeError
from engines.whole_file import write_whole


def write_told(console: Console, path: Path | None, text: str) -> None:
    """Whole or not at all, and says so; None: nobody asked. Raises EdgeError."""
    if path is None:
        return
    try:
        write_whole(path, text)
    except OSError as error:
        raise EdgeError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    console.print(f"written: {path}", markup=False)
