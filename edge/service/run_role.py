"""Turns this process into one process of a prepared line: ``python -m edge.service.run_role ROLE FOLDER``.

Imports next to nothing: after a crash every tenth of a second counts.
"""

import json
import os
import sys
from pathlib import Path

from edge.errors import EdgeError, RegionError
from edge.service.lock import take_lock


def run_role(role: str, folder: Path) -> None:
    """Does not return. Raises RegionError: nothing is prepared, or the same process of this line runs already.

    The same process id goes on, so that systemd's notifications and watchdog are those of the loop itself.
    """
    commands = _commands(folder)
    if role not in commands:
        raise RegionError(f"role: found '{role}', expected one of: {', '.join(commands)}")
    mend = f"stop it first: systemctl stop edge@{folder.name}.target"
    lock = take_lock(folder / f"{role}.lock", f"the {role} process of line '{folder.name}'", mend)
    os.set_inheritable(lock.fileno(), True)
    os.execv(sys.executable, [sys.executable, "-m", *commands[role]])  # noqa: S606  (our own module)


def _commands(folder: Path) -> dict[str, list[str]]:
    path = folder / "line.json"
    try:
        commands: dict[str, list[str]] = json.loads(path.read_bytes())["commands"]
    except (OSError, ValueError, KeyError) as error:
        raise RegionError(
            f"{path}: no line was prepared there ({error}); start edge-line@{folder.name}.service, "
            f"or run: edge service prepare /etc/edge/{folder.name}.yaml"
        ) from error
    return commands


def main() -> int:
    """What the units start."""
    try:
        run_role(sys.argv[1], Path(sys.argv[2]))
    except EdgeError as error:
        print(f"edge: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
