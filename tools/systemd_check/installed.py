"""Trials that only an installed system can have: the units run as they are written, as a user of their own."""

import pwd
import subprocess
import sys
from pathlib import Path

from edge.service.unit_files import units
from tools.systemd_check.line import ROLES, Unit
from tools.systemd_check.manager import Manager
from tools.systemd_check.places import NAME, SYSTEM
from tools.systemd_check.trials import Trial

EDGE = Path(sys.prefix) / "bin/edge"
_NOBODY_GAINS = {
    "CapEff": "0000000000000000",
    "CapPrm": "0000000000000000",
    "NoNewPrivs": "1",
    "Seccomp": "2",
}
"""Of ``/proc/PID/status``: no capability, none to be had, system calls filtered."""


def put(line_file: Path) -> Trial:
    """``edge install``: the units are known to the manager, and nothing was asked back."""
    done = _edge("install", str(line_file))
    return Trial("installed", done.returncode == 0, {"exit": done.returncode, "said": done.stderr.strip()})


def rights(manager: Manager) -> Trial:
    """Each process as the kernel sees it."""
    wanted = _NOBODY_GAINS | {"Uid": " ".join([str(pwd.getpwnam("edge").pw_uid)] * 4)}
    wrong = {
        f"{role} {key}": found
        for role in ROLES
        for key, found in _status(Unit.of(manager, role).pid).items()
        if key in wanted and found != wanted[key]
    }
    return Trial("rights", not wrong, {"user": "edge", "wrong": wrong})


def removed(manager: Manager) -> Trial:
    """``edge uninstall`` leaves journals, and nothing of its own."""
    done = _edge("uninstall")
    left = [str(file.path) for file in units(EDGE) if (Path("/") / file.path).exists()]
    # The trial before changed the line file by hand: it is the user's then, and has to stay like the journal.
    kept = {"line_file_kept": SYSTEM.line_file.exists(), "journal_kept": SYSTEM.journal.exists()}
    state = manager.show(f"edge-line@{NAME}.service").get("LoadState", "")
    good = done.returncode == 0 and not left and state == "not-found" and all(kept.values())
    return Trial("uninstalled", good, {"left": left, "unit": state, **kept})


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return {key: " ".join(value.split()) for key, _, value in (line.partition(":") for line in lines)}


def _edge(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(EDGE), *words], capture_output=True, text=True, check=False)
