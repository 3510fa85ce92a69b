"""A real service manager, ``systemd --user``, in a mount namespace and a control group of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge.service.unit_files import hidden
from tools.errors import SystemdCheckError
from tools.systemd_check.places import BASE, SYSTEM, USER, Places

LEFT_OUT = {
    "User": "",
    "Group": "",
    "SupplementaryGroups": "",
    "DeviceAllow": "",
    "DevicePolicy": "auto",
    "IPAddressDeny": "",
    "IPAddressAllow": "",
    "PrivateNetwork": "no",
    "MemoryMax": "infinity",
}
"""What a user manager cannot do, or what this machine has not: set back by a drop-in, and said."""
_PRIVILEGED = {
    "CPUSchedulingPolicy": "other",
    "CPUSchedulingPriority": "",
    "LimitRTPRIO": "",
    "LimitMEMLOCK": "",
    "OOMScoreAdjust": "",
    "IOSchedulingClass": "",
}
_TARGETS = ("basic", "default", "shutdown", "sysinit")
_START_LIMIT_S = 20.0


@dataclass(frozen=True)
class Manager:
    """A running manager of services."""

    scope: tuple[str, ...]
    """What ``systemctl`` needs to find it."""
    env: dict[str, str]
    left_out: tuple[str, ...]
    """Settings of the units that it has not."""
    places: Places
    logged: Callable[[], str]
    """What it and all units said."""

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``systemctl``; that of a user's manager goes over its private socket, without D-Bus."""
        return subprocess.run(
            ["systemctl", *self.scope, "--no-pager", *words],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )

    def show(self, unit: str) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.ctl("show", unit).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def system_manager() -> Manager:
    """That of the system that we run in."""
    journal = ["journalctl", "--no-pager", "--output=cat"]

    def logged() -> str:
        return subprocess.run(journal, capture_output=True, text=True, check=True).stdout

    return Manager((), dict(os.environ), (), SYSTEM, logged)


def enter() -> None:
    """For a process in a fresh mount namespace: a /run of our own that looks booted. Raises SystemdCheckError."""
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", "mode=755", "edge", "/run"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemdCheckError(
                f"{' '.join(command)}: {done.stderr.strip()}; starting units needs root or user namespaces: run it as "
                "root, or only the scores: python -m tools.systemd_check --static"
            )
    Path("/run/systemd/system").mkdir(parents=True)  # what sd_booted(3) looks at
    # With uid 0 it covers what a unit must not see with nodes from here; as a user manager it made them below its own.
    Path("/run/systemd/inaccessible").symlink_to(BASE / "run/systemd/inaccessible")
    for name in ("run", "units", "config/edge"):
        (BASE / name).mkdir(parents=True, mode=0o700)


@contextmanager
def manager(services: list[str]) -> Iterator[Manager]:
    """Started when it answers; its processes and its control group are gone afterwards."""
    units = BASE / "units"
    for name in _TARGETS:
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n", encoding="utf-8")
    left_out = _drop_ins(units, services)
    groups = _own_groups()
    env = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(BASE / "run"),
        "XDG_CONFIG_HOME": str(BASE / "config"),
        "XDG_STATE_HOME": str(BASE / "config"),
        "SYSTEMD_UNIT_PATH": str(units),
        "HOME": str(BASE),
    }
    env.pop("DBUS_SESSION_BUS_ADDRESS", None)
    env.pop("NOTIFY_SOCKET", None)
    with (BASE / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                _program(),
                "--user",
                "--log-target=console",
                "--log-level=notice",
                "--default-standard-output=inherit",
            ],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: _join(groups),  # noqa: PLW1509  (one thread)
        )
    running = Manager(("--user",), env, left_out, USER, _said)
    try:
        _wait_for_answer(running, process)
        yield running
    finally:
        _end(process, groups)


def _said() -> str:
    return (BASE / "log").read_text(encoding="utf-8", errors="replace")


def _program() -> str:
    for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd"):
        if Path(path).exists():
            return path
    raise SystemdCheckError("systemd is not installed (Debian, Ubuntu: apt-get install systemd)")


def _drop_ins(units: Path, services: list[str]) -> tuple[str, ...]:
    reset = dict(LEFT_OUT)
    if hidden(Path(sys.executable)):
        reset["ProtectHome"] = "no"  # the Python of this checkout lies there
    if not _may_be_real_time():
        reset.update(_PRIVILEGED)
    text = f"[Service]\nStandardOutput=append:{BASE}/log\nStandardError=append:{BASE}/log\n" + "".join(
        f"{key}={value}\n" for key, value in reset.items()
    )
    for service in services:
        folder = units / f"{service}.d"
        folder.mkdir()
        (folder / "check.conf").write_text(text, encoding="utf-8")
    return tuple(reset)


def _may_be_real_time() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        return False
    return True


def _own_groups() -> list[Path]:
    """One group in each hierarchy that systemd looks at: hybrid, legacy or unified."""
    root = Path("/sys/fs/cgroup")
    made = []
    for hierarchy in (root / "systemd", root / "unified", root):
        if not (hierarchy / "cgroup.procs").exists():
            continue
        with suppress(OSError):
            (hierarchy / f"edge-check-{os.getpid()}").mkdir()
            made.append(hierarchy / f"edge-check-{os.getpid()}")
    return made


def _join(groups: list[Path]) -> None:
    for group in groups:
        (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def _wait_for_answer(running: Manager, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < end and process.poll() is None:
        if (BASE / "run/systemd/private").exists() and running.ctl("show-environment").returncode == 0:
            return
        time.sleep(0.05)
    raise SystemdCheckError(
        f"systemd --user does not run here: {running.logged()[-500:]}; expected a writable /sys/fs/cgroup and /proc; "
        "only the scores: python -m tools.systemd_check --static"
    )


def _end(process: subprocess.Popen[bytes], groups: list[Path]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for group in groups:
        _empty(group)


def _empty(group: Path) -> None:
    """Ends what is left in our own group, and removes it."""
    folders = sorted((path for path in group.rglob("*") if path.is_dir()), key=lambda p: -len(p.parts))
    for folder in [*folders, group]:
        for _ in range(50):
            with suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text(encoding="ascii").split():
                    os.kill(int(pid), 9)
            with suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.02)
