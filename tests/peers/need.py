"""What the tests of this folder need from the system: required where EDGE_PEERS is "required" (CI), else skipped."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGES = "libmodbus-dev mbpoll socat pkg-config gcc"
PLC = HERE.parents[1] / "build" / "peers" / "plc"


def need(*programs: str) -> None:
    """Skips the test, or fails it in CI, when a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        _missing(", ".join(missing))


@cache
def plc_program() -> Path:
    """The PLC on libmodbus, built when it is older than its source."""
    need("gcc", "pkg-config")
    source = HERE / "plc.c"
    if PLC.exists() and PLC.stat().st_mtime >= source.stat().st_mtime:
        return PLC
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=False
    )
    if flags.returncode:
        _missing("libmodbus")
    PLC.parent.mkdir(parents=True, exist_ok=True)
    made = PLC.with_suffix(f".{os.getpid()}")
    command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(made)]
    subprocess.run([*command, *flags.stdout.split(), "-lm", "-pthread"], check=True)
    made.rename(PLC)
    return PLC


def _missing(what: str) -> None:
    words = f"independent Modbus peers: {what} is not installed (Debian: apt-get install {PACKAGES})"
    if os.environ.get("EDGE_PEERS") == "required":
        pytest.fail(words)
    pytest.skip(words)
