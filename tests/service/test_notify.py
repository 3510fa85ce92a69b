"""What systemd hears: over real datagram sockets, from real loops."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge._core import now_ns
from edge.service.notify import Notifier

PERIOD_NS = 250_000_000
"""A quarter of the watchdog's second."""


class Manager:
    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@edge-test-{threading.get_native_id()}"


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    manager = Manager(address)
    yield manager
    manager.socket.close()


def test_ready_once_and_a_heartbeat_only_when_the_beat_has_moved(manager: Manager, address: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}, 0)
    notifier.follow(1, ready=False)
    assert manager.heard() == []  # a loop that beats while its engines warm up is not ready
    notifier.follow(2)
    assert manager.heard() == ["READY=1", "WATCHDOG=1"]
    for _ in range(1000):  # the process lives, its loop does not
        notifier.follow(2)
    assert manager.heard() == []
    notifier.follow(2 + PERIOD_NS - 1)
    assert manager.heard() == []
    assert notifier.follow(2 + PERIOD_NS)
    notifier.say("busy")
    notifier.say("busy")
    notifier.stopping()
    assert manager.heard() == ["WATCHDOG=1", "STATUS=busy", "STOPPING=1"]


def test_the_beat_of_a_process_before_is_not_ours(manager: Manager, address: str) -> None:
    stale_ns = now_ns()
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    assert not notifier.follow(stale_ns)
    assert manager.heard() == []
    assert notifier.follow(now_ns())
    assert manager.heard() == ["READY=1", "WATCHDOG=1"]


def test_a_watchdog_of_another_process_is_not_ours(manager: Manager, address: str) -> None:
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert Notifier.from_environment(environment, 0).follow(1)
    assert manager.heard() == ["READY=1"]


def test_nobody_listens() -> None:
    assert not Notifier.from_environment({}).follow(1)
    lost = Notifier("/nonexistent/notify", 1_000_000)
    assert lost.follow(1)  # told, heard by nobody, and nothing is raised
