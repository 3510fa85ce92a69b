"""Disks of a megabyte or a few, which a test may fill and fail."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def disk_in_memory(place: Path, size: str = "1m") -> Iterator[Path]:
    """An empty tmpfs."""
    with _mounted(place, "-t", "tmpfs", "-o", f"size={size}", "none"):
        yield place


class Ext4:
    """A file system in a file, which can fail as one on a worn card does."""

    def __init__(self, folder: Path) -> None:
        self._image, self.place = folder / "ext4.img", folder / "ext4"
        maker = shutil.which("mkfs.ext4") or shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
        if maker is None:
            pytest.skip("mkfs.ext4 is not installed: apt install e2fsprogs")
        with self._image.open("wb") as file:
            file.truncate(8 * 2**20)
        subprocess.run([maker, "-q", "-F", str(self._image)], check=True)

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Where it lies; what failed before is mended by the next mount."""
        with _mounted(self.place, "-o", "loop", str(self._image)):
            yield self.place

    def fail(self) -> None:
        """The kernel finds an error and makes it read-only under everybody who writes."""
        subprocess.run(["mount", "-o", "remount,abort", str(self.place)], check=True)


@contextmanager
def _mounted(place: Path, *what: str) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *what, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        if subprocess.run(["umount", str(place)], check=False).returncode:
            subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """To the last byte; returns the file to remove."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 512)
    return ballast
