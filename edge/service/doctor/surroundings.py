"""What the line needs around it: disk, time, network cards, GPU, versions, ports."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

from edge.service.doctor.finding import Finding, bad, good, skipped
from edge.service.doctor.host import Host
from edge.service.doctor.listening import Listener, listeners

_DISKS = (("/dev/shm", 64), ("/var/lib", 2048), ("/tmp", 256))  # noqa: S108  (we look, we do not write)
"""Where, and how many MiB should be free: region and ring; journal and pictures; what libraries unpack."""
_MIB = 2**20
_RECEIVE_BUFFER = 4 * _MIB
"""A GigE camera's frame must fit: with the kernel's 212 kB nearly every frame comes incomplete."""
_SPEED_MBIT = 1000
_PACKAGES = (
    "onnxruntime",
    "numpy",
    "opencv-python-headless",
    "pymodbus",
    "tensorrt",
    "pycuda",
    "jetson-stats",
)


def disk(host: Host) -> Iterator[Finding]:
    """A full disk costs records, and in the end the journal."""
    for folder, wanted_mib in _DISKS:
        try:
            free_mib = shutil.disk_usage(host.path(folder)).free // _MIB
        except OSError:
            yield skipped(f"disk {folder}", "is not there")
            continue
        if free_mib >= wanted_mib:
            yield good(f"disk {folder}", f"{free_mib} MiB free")
        else:
            yield bad(
                f"disk {folder}",
                f"{free_mib} MiB free",
                f"{wanted_mib} MiB",
                f"sudo du -xh --max-depth=2 {folder} | sort -h | tail",
                fails=folder == "/dev/shm",  # noqa: S108
            )


def time_sync(host: Host) -> Iterator[Finding]:
    """Records of a wrong time find no batch."""
    if host.clock_is_set():
        yield good("time_sync", "the clock is disciplined")
    else:
        yield bad(
            "time_sync",
            "nothing disciplines the clock",
            "NTP or PTP",
            "sudo timedatectl set-ntp true   (on a closed network: set NTP= in /etc/systemd/timesyncd.conf)",
        )


def network_cards(host: Host) -> Iterator[Finding]:
    """Link speed, MTU and the receive buffer; ``edge camera tune`` measures what comes of them."""
    received = host.number("/proc/sys/net/core/rmem_max")
    if received is not None and received < _RECEIVE_BUFFER:
        mend = f"echo net.core.rmem_max={_RECEIVE_BUFFER} | sudo tee /etc/sysctl.d/90-edge.conf; sudo sysctl --system"
        yield bad("receive_buffer", f"{received} bytes", f"{_RECEIVE_BUFFER}, for GigE cameras", mend)
    elif received is not None:
        yield good("receive_buffer", f"{received} bytes")
    for card in host.glob("/sys/class/net/*"):
        if (card / "device").exists() and host.text(f"/sys/class/net/{card.name}/operstate") == "up":
            yield _card(host, card.name)


def _card(host: Host, name: str) -> Finding:
    speed = host.number(f"/sys/class/net/{name}/speed")
    mtu = host.number(f"/sys/class/net/{name}/mtu") or 0
    found = f"{speed if speed and speed > 0 else '?'} Mbit/s, MTU {mtu}"
    if speed and 0 < speed < _SPEED_MBIT:
        mend = f"change cable or switch port; then: sudo ethtool -s {name} autoneg on"
        return bad(f"network {name}", found, f"{_SPEED_MBIT} Mbit/s", mend)
    return good(f"network {name}", found)


def gpu(host: Host) -> Iterator[Finding]:
    """Which one, or why none."""
    from engines.errors import DeviceError
    from engines.tensorrt.driver import find_device

    try:
        yield good("gpu", find_device().describe())
    except DeviceError as error:
        if host.jetson or host.path("/proc/driver/nvidia").exists():
            yield bad("gpu", str(error), "the GPU of this machine", "nvidia-smi, or install JetPack again")
        else:
            yield skipped("gpu", "none; engines run on the CPU")


def versions(host: Host) -> Iterator[Finding]:
    """For the one who asks what is running here."""
    found = [f"Python {platform.python_version()}", f"kernel {os.uname().release}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    release = host.text("/etc/nv_tegra_release")
    if release:
        found.append(release.splitlines()[0].lstrip("# "))
    yield good("versions", ", ".join(found))


def ports(host: Host) -> Iterator[Finding]:
    """What of ours listens, and who can reach it."""
    ours = listeners(host, lambda command: "edge" in Path(command[0]).name or _is_ours(command))
    far = [listener for listener in ours if not listener.loopback]
    if far:
        yield bad(
            "ports",
            "; ".join(map(Listener.describe, far)),
            "loopback only, unless IT has agreed to it",
            "look at the listen addresses in the line file",
        )
    else:
        yield good("ports", "; ".join(map(Listener.describe, ours)) or "nothing of ours listens")


def _is_ours(command: list[str]) -> bool:
    modules = [word for flag, word in pairwise(command) if flag == "-m"]
    return any(module.split(".")[0] in {"edge", "tools", "calibration"} for module in modules)
