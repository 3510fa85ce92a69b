"""``python -m tools.systemd_check.stall PID``: stops a process's native threads on purpose, its Python runs on.

By ptrace, as a debugger does; in a process of its own, because the threads of a dead process are only gone when the
one who traces them has heard of their end.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from tools.errors import SystemdCheckError

_SEIZE, _INTERRUPT = 0x4206, 0x4207
_WALL = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def stall_native_threads(pid: int) -> None:
    """Every thread but the main one stands still until the process ends. Raises SystemdCheckError: not permitted."""
    holder = subprocess.Popen(
        [sys.executable, "-m", __name__, str(pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert holder.stdout is not None
    said = holder.stdout.readline()
    if said != "stopped\n":
        raise SystemdCheckError(said.strip() or f"{pid} has ended")


def main() -> int:
    """Stops them, says so, and waits until they have ended."""
    pid = int(sys.argv[1])
    for task in Path(f"/proc/{pid}/task").iterdir():
        thread = int(task.name)
        for request in (_SEIZE, _INTERRUPT) if thread != pid else ():
            if _libc.ptrace(request, ctypes.c_long(thread), None, None):
                print(f"ptrace of thread {thread}: {os.strerror(ctypes.get_errno())}; run it as root")
                return 1
    print("stopped", flush=True)
    while True:
        try:
            os.waitpid(-1, _WALL)
        except ChildProcessError:
            return 0


if __name__ == "__main__":
    sys.exit(main())
