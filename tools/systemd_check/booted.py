"""A whole system of its own, booted in namespaces, with the runtime installed in it as docs/deploy.md says."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.errors import SystemdCheckError
from tools.systemd_check.boot import COPY, SYSTEMD

PYTHON = Path("/usr/bin/python3")
PREFIX = Path("/opt/edge")
_BOOT_LIMIT_S = 60.0
_NAMESPACES = ("--pid", "--mount", "--uts", "--ipc", "--cgroup")
_KEPT_OUT = {"VIRTUAL_ENV", "NOTIFY_SOCKET", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "PYTHONPATH"}
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HOW_ELSE = "the user's manager can be tried without: leave out --booted"


@dataclass(frozen=True)
class Booted:
    """A running one."""

    pid: int
    """Its first process, as this machine numbers it."""

    def run(self, *command: str) -> int:
        """In there, as root; what it prints goes where ours goes."""
        return subprocess.call(self._entered(command), env=_environment())

    def says(self, *command: str) -> str:
        """The standard output."""
        done = subprocess.run(
            self._entered(command), env=_environment(), capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def _entered(self, command: tuple[str, ...]) -> list[str]:
        return ["nsenter", f"--target={self.pid}", *_NAMESPACES, "--", *command]


@contextmanager
def booted() -> Iterator[Booted]:
    """Up when it says so itself; nothing of it is left afterwards. Raises SystemdCheckError: not possible here."""
    _check()
    with tempfile.TemporaryDirectory(prefix="edge-booted-") as folder:
        command = [sys.executable, "-m", "tools.systemd_check.boot", folder, str(Path.cwd())]
        process = subprocess.Popen(["unshare", *_NAMESPACES, "--fork", "--kill-child=KILL", *command])
        try:
            yield _when_up(process)
        finally:
            process.kill()
            process.wait()


def install(system: Booted) -> Path:
    """Step by step what the documentation tells people to do; returns the folder of the commands."""
    steps = (
        (str(PYTHON), "-m", "venv", str(PREFIX)),
        (str(PREFIX / "bin/pip"), "install", "--quiet", f"/{COPY}"),
    )
    for step in steps:
        print(" ".join(step), flush=True)
        if system.run(*step):
            raise SystemdCheckError(
                f"{' '.join(step)}: failed, see above; expected python3-venv, python3-dev and g++ of the system"
            )
    return PREFIX / "bin"


def _check() -> None:
    if os.geteuid() != 0:
        raise SystemdCheckError(f"--booted needs root: it mounts and starts a system; {_HOW_ELSE}")
    missing = [str(path) for path in (PYTHON, SYSTEMD) if not path.exists()]
    missing += [name for name in ("unshare", "nsenter", "pivot_root") if shutil.which(name) is None]
    if missing:
        raise SystemdCheckError(f"{', '.join(missing)}: not found; install it, or {_HOW_ELSE}")


def _when_up(process: subprocess.Popen[bytes]) -> Booted:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + _BOOT_LIMIT_S
    while time.monotonic() < end and process.poll() is None:
        first = children.read_text(encoding="ascii").split()
        if first and Path(f"/proc/{first[0]}/exe").readlink().name == "systemd":
            system = Booted(int(first[0]))
            if system.says("systemctl", "is-system-running") in {"running", "degraded"}:
                return system
        time.sleep(0.2)
    raise SystemdCheckError(f"no system came up here within {_BOOT_LIMIT_S:g} s, see above; {_HOW_ELSE}")


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _KEPT_OUT} | {"PATH": _SYSTEM_PATH}
