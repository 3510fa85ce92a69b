"""A Modbus TCP server that misbehaves on demand; ``behaviour`` can be changed while it runs."""

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

REGISTERS = 256


@dataclass
class FaultyPlc:
    """Use as a context manager. Keeps registers and coils, so that what was taken can be read.

    Behaviours: ``answer``, ``mute``, ``slow`` (answers after ``delay_s``), ``garbage``, ``wrong_transaction``,
    ``wrong_unit``, ``wrong_echo``, ``exception``, ``split`` (byte by byte), ``close`` (hangs up), ``reset`` (RST),
    ``chatty`` (answers, and adds bytes that nobody asked for), ``truncated`` (half an answer, then nothing).
    """

    behaviour: str = "answer"
    delay_s: float = 0.0
    port: int = 0
    requests: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(transaction, function code, data) of every request, whatever became of it."""
    registers: list[int] = field(default_factory=lambda: [0] * REGISTERS)
    coils: list[bool] = field(default_factory=lambda: [False] * 16)
    connections: int = 0
    meanwhile: Callable[[int, bytes], None] = lambda function, data: None
    """Called with every request, before it is answered."""

    def __enter__(self) -> "FaultyPlc":
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=8)
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        # shutdown wakes the accepting thread; close alone would leave it, and the port, in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Drops every connection."""
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self) -> None:
        while not self._ended:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                while True:
                    transaction, _, length, unit = struct.unpack(">HHHB", _exactly(sock, 7))
                    request = _exactly(sock, length - 1)
                    self.requests.append((transaction, request[0], request[1:]))
                    self.meanwhile(request[0], request[1:])
                    self._reply(sock, transaction, unit, request)
            except OSError:
                return

    def _reply(self, sock: socket.socket, transaction: int, unit: int, request: bytes) -> None:
        behaviour = self.behaviour
        if behaviour == "mute":
            return
        if behaviour == "close":
            raise ConnectionError
        if behaviour == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionError
        if behaviour == "garbage":
            sock.sendall(b"\xde\xad\xbe\xef" * 8)
            return
        reply = bytes((request[0] | 0x80, 4)) if behaviour == "exception" else self._execute(request)
        if behaviour == "wrong_echo":
            reply = reply[:1] + bytes((reply[1] ^ 1,)) + reply[2:]
        if behaviour == "slow":
            time.sleep(self.delay_s)
        transaction = transaction - 1 & 0xFFFF if behaviour == "wrong_transaction" else transaction
        unit = unit ^ 1 if behaviour == "wrong_unit" else unit
        frame = struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit) + reply
        if behaviour == "split":
            for byte in frame:
                sock.sendall(bytes((byte,)))
        elif behaviour == "truncated":
            sock.sendall(frame[: len(frame) // 2])
        else:
            sock.sendall(frame + (b"\x00\x01" if behaviour == "chatty" else b""))

    def _execute(self, request: bytes) -> bytes:
        function, address, value = struct.unpack(">BHH", request[:5])
        if function in {3, 4}:
            values = self.registers[address : address + value]
            return struct.pack(f">BB{value}H", function, 2 * value, *values)
        if function == 5 and address >= len(self.coils):
            return bytes((function | 0x80, 2))
        if function == 5:
            self.coils[address] = value == 0xFF00
            return request
        if function == 6:
            self.registers[address] = value
            return request
        if function == 16:
            self.registers[address : address + value] = struct.unpack(f">{value}H", request[6:])
            return request[:5]
        return bytes((function | 0x80, 1))


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        if not chunk:
            raise ConnectionError
        data += chunk
    return data
