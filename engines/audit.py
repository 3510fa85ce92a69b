"""Who changed what, when and why: appended only, each row sealed with the one before. Any package may import it."""

import fcntl
import getpass
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

FILE_NAME = "audit.jsonl"
_FIRST = "0" * 64


class AuditLog:
    """One file of JSON lines. A row that was changed, or taken out or put in before another, is found.

    Not found: the newest rows taken out, and a chain that was computed anew; whoever may write the file can do both.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(
        self, kind: str, subject: str, *, before: str | None, after: str | None, why: str = ""
    ) -> None:
        """On the disk when it returns. Raises OSError; then the change must not be made."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            content = file.read()
            lines = content.splitlines()
            row = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "who": who(),
                "kind": kind,
                "subject": subject,
                "before": before,
                "after": after,
                "why": why,
                "previous": _seal(lines[-1]) if lines else _FIRST,
            }
            # A row that a power cut left half stays a broken row of its own.
            start = b"" if content.endswith(b"\n") or not content else b"\n"
            file.write(start + json.dumps({**row, "seal": _own(row)}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> list[dict[str, Any]]:
        """Oldest first; a line that is no row comes as ``{"broken": text}``."""
        return [_row(line) for line in self._lines()]

    def check(self) -> list[str]:
        """What does not fit together; empty: nothing was changed afterwards."""
        found, expected = [], _FIRST
        for number, line in enumerate(self._lines(), 1):
            row = _row(line)
            if row.get("previous") != expected:
                found.append(
                    f"{self.path}:{number}: does not follow the row before; one of the two was changed"
                )
            elif row.pop("seal", None) != _own(row):
                found.append(f"{self.path}:{number}: is not what was written; somebody has changed it")
            expected = _seal(line)
        return found

    def last(self, kind: str, subject: str) -> dict[str, Any] | None:
        """The newest row about something."""
        rows = [row for row in self.rows() if row.get("kind") == kind and row.get("subject") == subject]
        return rows[-1] if rows else None

    def _lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines() if self.path.is_file() else []


def who() -> str:
    """The user; behind sudo the one who called it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    caller = os.environ.get("SUDO_USER")
    return f"{caller} (as {user})" if caller and caller != user else user


def _own(row: dict[str, Any]) -> str:
    return _seal(json.dumps(row, sort_keys=True).encode())


def _seal(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    return row if isinstance(row, dict) else {"broken": line.decode(errors="replace")}
