"""One owner at a time: a file lock that goes with its process, however that ends."""

import fcntl
import os
from pathlib import Path
from typing import IO

from edge.errors import RegionError


def own_folder(folder: Path) -> None:
    """Makes a folder that only its user can enter. Raises RegionError when it is somebody else's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RegionError(
            f"{folder}: belongs to another user; remove it, or set EDGE_RUN_DIR to a folder of your own"
        )


def try_lock(path: Path) -> IO[bytes] | None:
    """Held until the file is closed, over exec too; None: somebody else holds it. Raises OSError: no such place."""
    lock = path.open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def take_lock(path: Path, running: str, mend: str) -> IO[bytes]:
    """As ``try_lock``. Raises RegionError: ``running`` is running already; ``mend``."""
    lock = try_lock(path)
    if lock is None:
        raise RegionError(f"{running} is running already (lock {path}); {mend}")
    return lock


def is_locked(path: Path, *, unseen: bool = False) -> bool:
    """Whether somebody holds it; nobody does where there is no file; ``unseen``: what it is where that is not told."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return unseen
    return False
