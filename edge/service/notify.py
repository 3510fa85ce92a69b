"""What a process tells systemd (sd_notify): ready, still making progress, stopping. Silent where nobody listens."""

import os
import socket
from collections.abc import Mapping

from edge._core import now_ns

_BEATS_PER_TIMEOUT = 4


class Notifier:
    """Speaks for one loop. Nothing here has a timer: a loop whose beat stands still starves its watchdog.

    ``address``: path of a datagram socket, or an abstract one with a leading ``@``; None: silent.
    ``timeout_us``: the manager's watchdog in microseconds; 0: none. ``since_ns``: what has beaten before was
    the loop of a process before this one, whose last beat and READY still stand in the region.
    """

    def __init__(self, address: str | None = None, timeout_us: int = 0, since_ns: int = 0) -> None:
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._address = "\0" + address[1:] if address.startswith("@") else address
        # Without a watchdog twice a second is often enough for the status text.
        self._period_ns = (timeout_us or 2_000_000) * 1000 // _BEATS_PER_TIMEOUT
        self._watched = timeout_us > 0
        self._due_ns = since_ns
        self._ready = False
        self._said = ""

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ, since_ns: int | None = None
    ) -> "Notifier":
        """``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` as systemd sets them; ``since_ns`` None: now."""
        timeout_us = environment.get("WATCHDOG_USEC", "0")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        timeout = int(timeout_us) if ours and timeout_us.isdigit() else 0
        return cls(environment.get("NOTIFY_SOCKET"), timeout, now_ns() if since_ns is None else since_ns)

    def follow(self, beat_ns: int, *, ready: bool = True) -> bool:
        """Tells of progress when ``beat_ns``, CLOCK_MONOTONIC of the loop's last turn, has moved far enough.

        The first time that ``ready`` holds is told too. Returns whether something was told, which is at most four
        times within the watchdog's timeout: the moment to ``say`` something.
        """
        if beat_ns < self._due_ns or self._socket is None:
            return False
        if not self._ready:
            if not ready:
                return False
            self._ready = True
            self._send("READY=1")
        self._due_ns = beat_ns + self._period_ns
        if self._watched:
            self._send("WATCHDOG=1")
        return True

    def say(self, text: str) -> None:
        """The status line of ``systemctl status``, sent when it is another one."""
        if text != self._said:
            self._said = text
            self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """From here on silence is no failure."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            # The manager is busy or gone: no reason to hold up a verdict. If it lasts, its watchdog decides.
            return
