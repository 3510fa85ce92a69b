"""The device program: built when it is needed, started, told what to do."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from edge.errors import TwinError
from edge.service.processes import die_with_parent

PACKAGES = "libaravis-dev pkg-config gcc"
SOURCE = Path(__file__).with_name("device.c")
ANSWER_LIMIT_S = 10.0
STAMPED = 24
"""Bytes at the beginning of a picture: int64 part id, clock in ns, exposure in µs."""
INTERFACE, SERIAL = "127.0.0.1", "EDGE-TWIN"


def build() -> Path:
    """The program, built if it is older than its source. Raises TwinError naming what is missing."""
    program = _cache() / "gige-device"
    if program.exists() and program.stat().st_mtime >= SOURCE.stat().st_mtime:
        return program
    missing = [name for name in ("gcc", "pkg-config") if shutil.which(name) is None]
    flags = None if missing else _flags()
    if flags is None:
        what = ", ".join(missing) or "aravis-0.8 (headers)"
        raise TwinError(
            f"the twin's GigE camera must be built and {what} is missing: apt-get install {PACKAGES}"
        )
    made = program.with_suffix(f".{os.getpid()}")
    command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-rdynamic", str(SOURCE), "-o", str(made)]
    done = subprocess.run([*command, *flags, "-pthread"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TwinError(f"{SOURCE}: does not compile: {done.stderr.strip()[:2000]}")
    made.rename(program)
    return program


def _flags() -> list[str] | None:
    # Not aravis-0.8 --libs: that wants the headers of libusb too, which we do not use.
    headers = _ask("--variable=includedir", "aravis-0.8")
    glib = _ask("--cflags", "--libs", "gio-2.0")
    if headers is None or glib is None:
        return None
    return [f"-I{headers.strip()}/aravis-0.8", "-laravis-0.8", *glib.split()]


def _ask(*question: str) -> str | None:
    answer = subprocess.run(["pkg-config", *question], capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else None


def _cache() -> Path:
    """Private to the user: what lies there is executed."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        folder = base / "edge-inspection"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="edge-inspection-"))
    return folder


class GigeDevice:
    """The running device. ``frames``: descriptor, slots, width and height of the pictures that it shows."""

    def __init__(
        self,
        frames: tuple[int, int, int, int] | None = None,
        *,
        interface: str = INTERFACE,
        serial: str = SERIAL,
    ) -> None:
        program = build()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [str(program), interface, serial, str(theirs.fileno())]
        passed = [theirs.fileno()]
        if frames is not None:
            command += [str(value) for value in frames]
            passed.append(frames[0])
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=passed,
            preexec_fn=die_with_parent,  # noqa: PLW1509  (before we have threads)
        )
        theirs.close()
        self._control = ours
        self._control.settimeout(ANSWER_LIMIT_S)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise TwinError(
                f"the GigE device on {interface} ended with {self.process.wait()}; see its message above"
            )

    def ask(self, command: str) -> str:
        """See the head of device.c for commands. Raises TwinError when it is refused or the device has gone."""
        try:
            self._control.send(command.encode())
            answer = self._control.recv(128).decode()
        except OSError as error:
            raise TwinError(f"the GigE device does not answer '{command}': {error}") from error
        if answer not in ("ok", "idle") and not answer.startswith("sent "):
            raise TwinError(f"the GigE device answers '{command}' with: {answer or 'nothing'}")
        return answer

    def close(self) -> None:
        """Switches it off."""
        self._control.close()
        self.process.terminate()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
