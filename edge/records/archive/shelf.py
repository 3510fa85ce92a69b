"""The folder of the pictures: each one whole or not there, the oldest gone when there is no room."""

import contextlib
import errno
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from edge.errors import RecordError
from edge.records.archive.names import Picture
from edge.records.archive.settings import ArchiveSettings
from edge.service.doctor.host import clock_is_set
from edge.service.lock import try_lock

_MIB = 2**20
_PART = ".part"
_DISK_TROUBLE = {errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT}
"""What may pass by itself, or by somebody's hand, while the line runs."""


class Shelf:
    """One process at a time. Not for several threads."""

    def __init__(
        self, folder: Path, settings: ArchiveSettings, *, clock_is_set: Callable[[], bool] = clock_is_set
    ) -> None:
        """Raises RecordError: no such folder can be made, or another process has it.

        A disk that is full, read-only or failing is none: ``put`` tries again.
        """
        self.folder = folder
        self._settings = settings
        self._clock_is_set = clock_is_set
        self._lock: IO[bytes] | None = None
        self._files: deque[tuple[Path, int]] = deque()
        self._bytes = 0
        try:
            self._open()
        except OSError as error:
            if error.errno in _DISK_TROUBLE:
                return
            raise RecordError(
                f"{folder}: the picture archive cannot be written: {error.strerror}; expected a folder that "
                "this user may write; see records.archive.folder"
            ) from error

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(self.folder)
        try:
            for left in self.folder.glob(f"*/.*{_PART}"):  # of a process that was killed while it wrote
                left.unlink(missing_ok=True)
            found = sorted(path for path in self.folder.glob("*/*.png") if Picture.of(path))
            self._files = deque((path, path.stat().st_size) for path in found)
        except OSError:
            lock.close()
            raise
        self._bytes = sum(size for _, size in self._files)
        self._lock = lock

    def __len__(self) -> int:
        return len(self._files)

    @property
    def used_mib(self) -> float:
        """Of all pictures."""
        return self._bytes / _MIB

    def put(self, picture: Picture, data: bytes) -> Path:
        """Makes room and writes. Raises OSError, ENOSPC where the disk has too little room without pictures too."""
        if self._lock is None:
            self._open()
        self._make_room(len(data))
        path = self.folder / picture.path
        part = path.with_name(f".{path.name}{_PART}")
        path.parent.mkdir(exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # else a power cut leaves a name without a picture
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        self._files.append((path, len(data)))
        self._bytes += len(data)
        return path

    def forget_old(self) -> int:
        """Retention by age, only while something disciplines the clock; returns how many went."""
        if not self._clock_is_set():
            return 0
        oldest_ns = time.time_ns() - int(self._settings.keep_days * 86_400e9)
        gone = 0
        while self._files:
            picture = Picture.of(self._files[0][0])
            if picture is not None and picture.wall_ns >= oldest_ns:
                break
            self._drop_oldest()
            gone += 1
        return gone

    def close(self) -> None:
        """Another process may have the folder."""
        if self._lock is not None:
            self._lock.close()

    def _make_room(self, size: int) -> None:
        while self._files and self._bytes + size > self._settings.max_mib * _MIB:
            self._drop_oldest()
        wanted = self._settings.min_free_mib * _MIB + size
        while _free_bytes(self.folder) < wanted:
            if not self._files:
                raise OSError(
                    errno.ENOSPC, f"less than {self._settings.min_free_mib:g} MiB of the disk are free"
                )
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        path, size = self._files.popleft()
        self._bytes -= size
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other pictures of the day
            path.parent.rmdir()


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _lock(folder: Path) -> IO[bytes]:
    lock = try_lock(folder / ".lock")
    if lock is None:
        raise RecordError(
            f"{folder}: another process writes this archive; expected one reporting process a line; end the other, "
            "or set records.archive.folder"
        )
    return lock
