"""The work folder of one lesson: what was asked, which steps are done, who is at it. Survives a power cut at any point.

A step is done when its mark lies in ``done/``; the mark names what it was made from, so that a change of an earlier
step makes the later ones due again. Marks and results are written whole, results first.
"""

import contextlib
import datetime
import fcntl
import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.errors import CalibrationError
from engines.whole_file import write_whole

_NO_SPACE = (
    "no room left for {path} ({error}); nothing half-written is left, the running engines stay: make room and run the "
    "same command again"
)


@dataclass(frozen=True)
class WorkFolder:
    """Files of one lesson below ``root``."""

    root: Path

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """For one engineer at a time. Raises CalibrationError naming who has it and since when."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise CalibrationError(
                f"{self.root}: cannot be written ({error.strerror}); give another --work"
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise CalibrationError(
                    f"{self.root}: {file.read().strip() or 'somebody'} is at it; expected nobody: wait, or give "
                    "another --work"
                ) from error
            file.truncate(0)
            file.write(f"{who()}, process {os.getpid()}, since {now()}")
            file.flush()
            yield

    def done(self, step: str, made_from: str) -> dict[str, Any] | None:
        """What the step said, if it was done from just that."""
        try:
            mark = json.loads((self.root / "done" / f"{step}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return dict(mark["said"]) if mark.get("made_from") == made_from else None

    def mark(self, step: str, made_from: str, said: Mapping[str, Any]) -> None:
        """The step is done."""
        text = json.dumps({"step": step, "made_from": made_from, "said": said}, indent=1)
        self.write(Path("done") / f"{step}.json", text)
        self.note(step, "done")

    def write(self, name: str | Path, content: str | bytes) -> Path:
        """A file below the folder, whole. Raises CalibrationError: no room."""
        path = self.root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise CalibrationError(_NO_SPACE.format(path=path, error=error.strerror)) from error
        return path

    def note(self, step: str, what: str) -> None:
        """One line in the journal: when, who, what."""
        line = json.dumps({"time": now(), "who": who(), "step": step, "what": what})
        with contextlib.suppress(OSError), (self.root / "journal.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def chained(previous: str, *parts: object) -> str:
    """A hash over what a step is made from."""
    text = json.dumps([previous, *[str(part) for part in parts]])
    return hashlib.sha256(text.encode()).hexdigest()


def who() -> str:
    """User and machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def now() -> str:
    """UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def mtime(path: Path) -> int:
    """Nanoseconds; 0: no such file."""
    return path.stat().st_mtime_ns if path.is_file() else 0


def stamp(path: Path) -> str:
    """Changes when a picture in the folder, or the file, does."""
    if path.is_dir():
        return chained("", *[(p, mtime(p), p.stat().st_size) for p in sorted(path.rglob("*")) if p.is_file()])
    return chained("", path.resolve(), mtime(path))
