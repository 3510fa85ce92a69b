"""``python -m tools.systemd_check.boot FOLDER CHECKOUT``: the first process of new namespaces becomes systemd.

Its root is this machine's, seen through a layer in memory: whatever is installed there is gone with it. Started as root
by ``unshare --pid --mount --uts --ipc --cgroup --fork``.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEMD = Path("/lib/systemd/systemd")
COPY = Path("srv/edge")
"""The checkout, below the new root."""
_NODES = ("null", "zero", "full", "random", "urandom", "tty")
_QUIET = ("systemd-networkd", "systemd-resolved", "systemd-timesyncd", "systemd-logind", "e2scrub_reap")
"""Would change the network or the clock of the machine itself, or need hardware."""
_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "build", "*.so", "*.egg-info", "*_cache", "__pycache__", "runs"
)


def main() -> None:
    """Never returns."""
    layer, checkout = Path(sys.argv[1]), Path(sys.argv[2])
    _mount("--make-rprivate", "/")
    _mount("-t", "tmpfs", "-o", "size=6g", "edge", str(layer))
    upper, work, root = (layer / name for name in ("upper", "work", "root"))
    for folder in (upper, work, root):
        folder.mkdir()
    _mount("-t", "overlay", "edge", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", str(root))
    _kernel_folders(root)
    shutil.copytree(checkout, root / COPY, ignore=_NOT_COPIED)
    (root / "etc/machine-id").write_text("")
    for unit in _QUIET:
        link = root / f"etc/systemd/system/{unit}.service"
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    (root / ".old").mkdir()
    os.chdir(root)
    subprocess.run(["pivot_root", ".", ".old"], check=True)
    os.chroot(".")
    subprocess.run(["umount", "--lazy", "/.old"], check=True)
    # "container": systemd asks for no hardware then. The target is that of a machine without a screen.
    command = [str(SYSTEMD), "--system", "--unit=multi-user.target"]
    os.execve(SYSTEMD, command, {**os.environ, "container": "edge"})  # noqa: S606  (no shell is wanted)


def _kernel_folders(root: Path) -> None:
    _mount("-t", "proc", "proc", str(root / "proc"))
    _mount("--rbind", "/sys", str(root / "sys"))
    for name, mode in (("run", 755), ("tmp", 1777), ("dev", 755)):
        _mount("-t", "tmpfs", "-o", f"mode={mode}", "edge", str(root / name))
    dev = root / "dev"
    for name in _NODES:
        (dev / name).touch()
        _mount("--bind", f"/dev/{name}", str(dev / name))
    for name in ("shm", "pts", "mqueue", "hugepages"):
        (dev / name).mkdir()
    _mount("-t", "tmpfs", "-o", "mode=1777", "edge", str(dev / "shm"))
    _mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", str(dev / "pts"))
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "fd").symlink_to("/proc/self/fd")


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


if __name__ == "__main__":
    main()
