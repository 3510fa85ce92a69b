"""The network interface that a GigE Vision camera is on: is it fast and its packets large enough?"""

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from edge.errors import CameraError

SYS_NET = Path("/sys/class/net")
RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
_SIOCGIFADDR = 0x8915


@dataclass(frozen=True)
class Link:
    """One interface; None where the system does not say (loopback, virtual)."""

    name: str
    mtu: int | None
    mbit_per_s: int | None

    def check(self, packet_size: int, frame_bytes: int, frame_timeout_ms: float) -> None:
        """Raises CameraError: packets do not fit, or a frame cannot come in time."""
        if self.mtu is not None and packet_size > self.mtu:
            raise CameraError(
                f"camera.packet_size {packet_size} on {self.name}, whose MTU is {self.mtu}: such packets never come. "
                f"Set the MTU (ip link set {self.name} mtu 9000, also on the switch), or "
                f"camera.packet_size to {self.mtu}"
            )
        if self.mbit_per_s is None or self.mbit_per_s <= 0:
            return
        takes_ms = frame_bytes * 8 / (self.mbit_per_s * 1e3)
        if takes_ms > frame_timeout_ms:
            raise CameraError(
                f"the link of {self.name} runs at {self.mbit_per_s} Mbit/s: a frame of {frame_bytes} bytes takes "
                f"{takes_ms:.0f} ms, camera.frame_timeout_ms is {frame_timeout_ms:g}. A GigE camera wants 1000: look "
                "at cable, switch and port (4 pairs, autonegotiation), or read out a smaller camera.region"
            )


def link_of(ip: str, sys_net: Path = SYS_NET) -> Link | None:
    """The interface that has this address; None: there is none (any more)."""
    for folder in sorted(sys_net.iterdir()) if sys_net.is_dir() else ():
        if _address(folder.name) == ip:
            return read_link(folder)
    return None


def read_link(folder: Path) -> Link:
    """From the folder of an interface in /sys/class/net."""
    return Link(folder.name, _number(folder / "mtu"), _number(folder / "speed"))


def receive_limit(path: Path = RMEM_MAX) -> int | None:
    """Largest receive buffer that the system grants, bytes."""
    return _number(path)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _address(name: str) -> str | None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])
