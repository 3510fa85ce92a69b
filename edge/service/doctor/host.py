"""The machine as the checks see it: files below one root, and programs, so that a test can be any machine."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge._core import set_fifo_priority

PROGRAM_LIMIT_S = 5.0
_TIME_ERROR = 5
"""What adjtimex returns while nothing disciplines the clock."""


def clock_is_set() -> bool:
    """Whether something (NTP, PTP) disciplines the wall clock."""
    import ctypes

    buffer = ctypes.create_string_buffer(256)  # struct timex, with room; modes 0: only asks
    return int(ctypes.CDLL(None).adjtimex(buffer)) != _TIME_ERROR


def _may_run_fifo() -> bool:
    """Tried in a process of its own: the asking one must stay what it is."""
    child = os.fork()
    if child == 0:
        os._exit(0 if set_fifo_priority(1) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@dataclass(frozen=True)
class Host:
    """``root``: where /proc, /sys, /etc, /run and /usr are."""

    root: Path = Path("/")
    clock_is_set: Callable[[], bool] = clock_is_set
    may_run_fifo: Callable[[], bool] = _may_run_fifo

    def path(self, absolute: str) -> Path:
        """Below the root."""
        return self.root / absolute.lstrip("/")

    def text(self, absolute: str) -> str | None:
        """Content of a small file without white space at its ends; None: not there, or not for us."""
        try:
            return self.path(absolute).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def number(self, absolute: str) -> int | None:
        """The first number of a file; None: no file, no number."""
        words = (self.text(absolute) or "").split()
        try:
            return int(words[0]) if words else None
        except ValueError:
            return None

    def glob(self, pattern: str) -> list[Path]:
        """Paths below the root, sorted."""
        return sorted(self.root.glob(pattern.lstrip("/")))

    def has_capability(self, number: int) -> bool:
        """Of this process, by its number in capabilities(7)'s header; False where the kernel does not say."""
        for line in (self.text("/proc/self/status") or "").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.partition(":")[2], 16) >> number & 1)
        return False

    def output(self, program: str, *arguments: str) -> str | None:
        """What a program of this machine prints; None: not there, failed, or too slow."""
        folders = os.pathsep.join(
            str(self.path(folder)) for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
        )
        found = shutil.which(program, path=folders)
        if found is None:
            return None
        try:
            done = subprocess.run(
                [found, *arguments], capture_output=True, text=True, timeout=PROGRAM_LIMIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    @property
    def jetson(self) -> bool:
        """Whether this is a Jetson."""
        return self.path("/etc/nv_tegra_release").exists()
