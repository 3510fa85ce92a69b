"""A folder of whole things by id, of which one a name is active. Nothing becomes visible half.

``entries/<id>/``; ``active/<name>`` a link into entries; ``history/<name>`` ids that were active, oldest first;
``staging/`` what is being written; ``locks/``; the audit of every change of what is active.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engines.audit import FILE_NAME as AUDIT
from engines.audit import AuditLog
from engines.errors import StoreError
from engines.whole_file import write_whole

_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Shelf:
    """Every change is atomic and taken under a lock; readers need none."""

    root: Path
    kind: str
    """In the audit: what is made active here."""
    room: str
    """How to make room on a full disk."""
    elsewhere: str
    """The environment variable that names another folder."""

    @property
    def audit(self) -> AuditLog:
        """Who made what active, when and why."""
        return AuditLog(self.root / AUDIT)

    def entry(self, identity: str) -> Path:
        """Where an entry lies, or would."""
        return self.root / "entries" / identity

    def put(self, identity: str, files: Mapping[str, bytes]) -> Path:
        """Writes an entry, on the disk when it returns; it is not active. Names may have folders.

        Raises StoreError: disk full, or no right to write; nothing is left behind then.
        """
        target = self.entry(identity)
        with self.locked("store", fcntl.LOCK_SH):
            stage = None
            try:
                (self.root / "staging").mkdir(parents=True, exist_ok=True)
                target.parent.mkdir(exist_ok=True)
                stage = Path(tempfile.mkdtemp(dir=self.root / "staging"))
                for name, data in files.items():
                    (stage / name).parent.mkdir(exist_ok=True)
                    _write_synced(stage / name, data)
                for folder in {(stage / name).parent for name in files}:
                    _sync_folder(folder)
                stage.chmod(0o755)
                stage.rename(target)
                _sync_folder(target.parent)
            except OSError as error:
                if stage is not None:
                    shutil.rmtree(stage, ignore_errors=True)
                raise self._disk_error(error, sum(map(len, files.values()))) from error
        return target

    def active_id(self, name: str) -> str | None:
        """Id of the active entry of this name."""
        link = self.root / "active" / name
        return link.readlink().name if link.is_symlink() else None

    def active_names(self) -> list[str]:
        """Names that have an active entry."""
        return sorted(path.name for path in self.root.glob("active/*"))

    def history(self, name: str) -> list[str]:
        """Ids that were active, oldest first."""
        path = self.root / "history" / name
        return path.read_text(encoding="utf-8").split() if path.is_file() else []

    def before(self, name: str, identity: str | None) -> list[str]:
        """Ids that were active before this one, newest first."""
        history = self.history(name)
        if identity not in history:
            return []
        last = len(history) - 1 - history[::-1].index(identity)
        return [item for item in dict.fromkeys(reversed(history[:last])) if item != identity]

    def ways_back(self, name: str) -> Iterator[tuple[str, list[str]]]:
        """Each id that was active and is not now, newest first, with the history that ends with it."""
        history, active = self.history(name), self.active_id(name)
        for index in range(len(history) - 1, -1, -1):
            if history[index] != active:
                yield history[index], history[: index + 1]

    def switch(self, name: str, identity: str, history: list[str], why: str) -> None:
        """Makes an entry the active one: audited first, then one rename. The caller holds the lock ``active``."""
        links, target = self.root / "active", Path("..") / "entries" / identity
        try:
            self.audit.append(self.kind, name, before=self.active_id(name), after=identity, why=why)
            links.mkdir(parents=True, exist_ok=True)
            (self.root / "history").mkdir(exist_ok=True)
            new = links / f".{name}.{os.getpid()}"
            new.unlink(missing_ok=True)
            new.symlink_to(target)
            new.replace(links / name)
            _sync_folder(links)
            write_whole(self.root / "history" / name, "\n".join(history) + "\n")
        except OSError as error:
            raise self._disk_error(error, 0) from error

    @contextlib.contextmanager
    def locked(self, name: str, how: int) -> Iterator[None]:
        """Raises StoreError: somebody else holds it."""
        path = self.root / "locks" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("wb")
        except OSError as error:
            raise self._disk_error(error, 0) from error
        with file:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreError(
                    f"{path}: another process is at it ({name}); expected nobody: wait until it is done"
                ) from error
            yield

    def remove(self, identity: str) -> None:
        """Gone whole or not at all; what a crash leaves of it ``sweep`` takes. The caller holds the lock ``store``."""
        (self.root / "staging").mkdir(exist_ok=True)
        gone = self.root / "staging" / f"gone-{identity}"
        shutil.rmtree(gone, ignore_errors=True)
        self.entry(identity).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self) -> None:
        """Removes what a crash left half written. The caller holds the lock ``store`` alone."""
        for stage in self.root.glob("staging/*"):
            shutil.rmtree(stage, ignore_errors=True)

    def _disk_error(self, error: OSError, size: int) -> StoreError:
        if error.errno in _SPACE:
            return StoreError(
                f"{self.root}: no room for {size >> 20} MiB ({error.strerror}); nothing was stored, what is active "
                f"stays: {self.room}, or set {self.elsewhere} to another disk"
            )
        return StoreError(
            f"{self.root}: cannot be written ({error.strerror}); expected a folder of your own: set {self.elsewhere}"
        )


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
