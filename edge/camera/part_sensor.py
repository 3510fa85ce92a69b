"""The part sensor on a Unix socket, in a thread of its own: it goes on telling of parts while the camera is away."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge._core import set_fifo_priority
from edge.camera.twin_wire import END, HEADER, HELLO, TRIGGER, Message

log = logging.getLogger(__name__)

FIFO_PRIORITY = 51
_PAUSE_S = 0.1
_PATIENCE_S = 0.5

Fired = Callable[[Message], None]


class PartSensor:
    """Reads TRIGGER messages (see twin_wire) and hands them over; connects again whenever it is hung up on."""

    def __init__(self, path: Path, last_trigger: Callable[[], int], fired: Fired) -> None:
        self._path = path
        self._last_trigger = last_trigger
        self._fired = fired
        self._stop = threading.Event()
        self.connected = threading.Event()
        self.ended = threading.Event()
        """No more parts will come."""
        self._thread = threading.Thread(target=self._run, name="part sensor", daemon=True)

    def start(self) -> None:
        """Once; later calls change nothing."""
        if not self._thread.is_alive() and not self.ended.is_set():
            self._thread.start()

    def close(self) -> None:
        """Ends the thread within half a second."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * _PATIENCE_S)

    def _run(self) -> None:
        set_fifo_priority(FIFO_PRIORITY)
        while not self._stop.is_set() and not self.ended.is_set():
            try:
                self._listen()
            except OSError as error:
                self.connected.clear()
                log.info("%s: the part sensor does not answer: %s", self._path, error)
                self._stop.wait(_PAUSE_S)

    def _listen(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_PATIENCE_S)
            line.connect(str(self._path))
            line.sendall(Message(HELLO, trigger_id=self._last_trigger()).pack())
            self.connected.set()
            while not self._stop.is_set():
                message = self._receive(line)
                if message is None:
                    continue
                if message.kind == TRIGGER:
                    self._fired(message)
                elif message.kind == END:
                    self.ended.set()
                    return
                else:
                    raise ConnectionError(f"message of unknown kind {message.kind}")

    def _receive(self, line: socket.socket) -> Message | None:
        try:
            data = line.recv(HEADER.size)
        except TimeoutError:
            return None
        end_s = time.monotonic() + _PATIENCE_S
        while 0 < len(data) < HEADER.size and time.monotonic() < end_s:
            data += line.recv(HEADER.size - len(data))
        if len(data) < HEADER.size:
            raise ConnectionError("it has hung up")
        return Message.unpack(data)
