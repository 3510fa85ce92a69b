"""Child processes of a line: started together, restarted when they die, ended together."""

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_RESTART_PAUSE_S = 0.2
_RESTART_PAUSE_MAX_S = 5.0
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """For a child between fork and exec: it gets SIGTERM when its parent dies, however that happens."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Ctrl-C in a terminal goes to the whole group: only the supervisor acts on it, and in the right order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass
class Child:
    """One process and how often it had to be started."""

    name: str
    command: Sequence[str]
    log: Path
    restarts_allowed: bool = True
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    _next_start_s: float = 0.0
    _pause_s: float = _RESTART_PAUSE_S

    def start(self) -> None:
        """Starts the process; what it prints goes to its log file."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the supervisor, which ends the camera before the gate
                preexec_fn=die_with_parent,  # noqa: PLW1509  (the supervisor is single-threaded here)
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll() if self.process else None

    def last_words(self) -> str:
        """The end of its log, for the message that it has gone."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "; ".join([line for line in lines if line and not line.startswith(" ")][-2:])

    def restart_if_due(self, now_s: float) -> bool:
        """Starts a dead process again, with a growing pause; True when it was started now."""
        if self._next_start_s == 0.0:
            self._next_start_s = now_s + self._pause_s
            self._pause_s = min(self._pause_s * 2, _RESTART_PAUSE_MAX_S)
        if now_s < self._next_start_s:
            return False
        self._next_start_s = 0.0
        self.restarts += 1
        self.start()
        return True

    def end(self, timeout_s: float) -> None:
        """SIGTERM, then SIGKILL for one that does not listen."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class ProcessGroup:
    """The children of a line, in the order of their start."""

    say: Callable[[str], None]
    children: list[Child] = field(default_factory=list)

    def start(self, child: Child) -> None:
        """Starts one more."""
        child.start()
        self.children.append(child)

    def watch(self) -> None:
        """Restarts what has died; one that may not be restarted is left to the caller."""
        now_s = time.monotonic()
        for child in self.children:
            code = child.exit_code
            if code is None or code == 0 or not child.restarts_allowed:
                continue
            if child.restart_if_due(now_s):
                self.say(f"{child.name} ended with {code} and was started again: {child.last_words()}")

    def end(self, timeout_s: float = 3.0) -> None:
        """Ends all, the last started first."""
        for child in reversed(self.children):
            child.end(timeout_s)
