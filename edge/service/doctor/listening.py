"""Which processes listen on which TCP port, from /proc alone."""

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge.service.doctor.host import Host

_LISTEN = "0A"
_BYTES_PER_WORD = 4


@dataclass(frozen=True)
class Listener:
    """One listening socket."""

    address: str
    port: int
    command: str

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.address).is_loopback

    def describe(self) -> str:
        """For people."""
        return f"{self.address}:{self.port} ({self.command})"


def listeners(host: Host, wanted: Callable[[list[str]], bool]) -> list[Listener]:
    """Of the processes whose command line is ``wanted``; those that we may not look into are left out."""
    sockets = dict(_listening(host))
    found = []
    for process in host.glob("/proc/[0-9]*"):
        command = (host.text(f"/proc/{process.name}/cmdline") or "").rstrip("\0").split("\0")
        if not command[0] or not wanted(command):
            continue
        for inode in _inodes(host, process.name):
            if inode in sockets:
                address, port = sockets[inode]
                found.append(Listener(address, port, _name(command)))
    return sorted(set(found), key=lambda listener: (listener.port, listener.address))


def _listening(host: Host) -> Iterator[tuple[str, tuple[str, int]]]:
    for table in ("tcp", "tcp6"):
        for line in (host.text(f"/proc/net/{table}") or "").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == _LISTEN:
                address, _, port = words[1].partition(":")
                yield words[9], (_address(address), int(port, 16))


def _address(text: str) -> str:
    """The kernel prints 32-bit words in the byte order of the machine."""
    raw = bytes.fromhex(text)
    words = [raw[i : i + _BYTES_PER_WORD][::-1] for i in range(0, len(raw), _BYTES_PER_WORD)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _inodes(host: Host, process: str) -> Iterator[str]:
    for descriptor in host.glob(f"/proc/{process}/fd/*"):
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[len("socket:[") : -1]


def _name(command: list[str]) -> str:
    words = [word for word in command if not word.startswith("/")]
    return " ".join(words[:3])
