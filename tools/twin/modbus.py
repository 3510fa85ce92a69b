"""A small Modbus TCP server for the twin PLC: one thread, selectors, strict bounds, no trust in requests.

The twin must not be what the line waits for, so it answers from one select loop without a task per request.
"""

import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Protocol

from edge.errors import TwinError

COILS, REGISTERS = 64, 256
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
MAX_ADU_BYTES = 260
WRITE_REGISTER = 6
_READS = {1, 3, 4}
_COIL_WRITES = {5, 15}


class Program(Protocol):
    """What runs on the PLC."""

    coils: list[bool]
    registers: list[int]

    def before_read(self, now_ns: int) -> None:
        """Registers or coils are about to be read."""

    def wrote_registers(self, address: int, count: int, now_ns: int) -> None:
        """Registers were written by a request that arrived at ``now_ns``."""

    def wrote_coils(self, now_ns: int) -> None:
        """Coils were written by a request that arrived at ``now_ns``."""


class _RefusedError(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class ModbusServer:
    """Serves any number of masters; every unit id is ours, as on most PLCs."""

    def __init__(self, program: Program, host: str, port: int) -> None:
        self._program = program
        self._selector = selectors.DefaultSelector()
        self._buffers: dict[socket.socket, bytes] = {}
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((host, port))
            self._listener.listen(8)
        except OSError as error:
            self._listener.close()
            raise TwinError(
                f"the twin PLC cannot listen on {host} port {port}: {error.strerror}; "
                "end what uses the port, or choose another with --port (0: any free one)"
            ) from error
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port = int(self._listener.getsockname()[1])

    @property
    def masters(self) -> int:
        """Open connections."""
        return len(self._buffers)

    def step(self, timeout_s: float) -> None:
        """Waits for requests for at most ``timeout_s`` and answers them."""
        for key, _ in self._selector.select(timeout_s):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is self._listener:
                self._accept()
            else:
                self._serve(sock)

    def close(self) -> None:
        """Drops every connection."""
        for sock in list(self._buffers):
            self._drop(sock)
        self._selector.close()
        self._listener.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffers[sock] = b""
        self._selector.register(sock, selectors.EVENT_READ)

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        del self._buffers[sock]
        sock.close()

    def _serve(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(4096)
            now_ns = time.monotonic_ns()
            if not data:
                raise ConnectionError
            self._buffers[sock] += data
            while (frame := self._next_frame(sock)) is not None:
                self._answer_frame(sock, frame, now_ns)
        except OSError:
            # Gone, not Modbus, or no longer reading: in each case the connection is of no use.
            self._drop(sock)

    def _next_frame(self, sock: socket.socket) -> bytes | None:
        data = self._buffers[sock]
        if len(data) < 8:
            return None
        protocol, length = struct.unpack_from(">HH", data, 2)
        if protocol != 0 or not 2 <= length <= MAX_ADU_BYTES - 6:
            raise ConnectionError
        if len(data) < 6 + length:
            return None
        self._buffers[sock] = data[6 + length :]
        return data[: 6 + length]

    def _answer_frame(self, sock: socket.socket, frame: bytes, now_ns: int) -> None:
        """Answers from the registers first; the program takes a write afterwards, with its time of arrival."""
        request = frame[7:]
        if request[0] in _READS:
            self._program.before_read(now_ns)
        reply = self._answer(request)
        answered = sock.send(frame[:4] + struct.pack(">HB", len(reply) + 1, frame[6]) + reply)
        if not reply[0] & 0x80 and request[0] not in _READS:
            address, count = struct.unpack_from(">HH", request, 1)
            if request[0] in _COIL_WRITES:
                self._program.wrote_coils(now_ns)
            else:
                self._program.wrote_registers(address, 1 if request[0] == WRITE_REGISTER else count, now_ns)
        if answered != len(reply) + 7:
            raise ConnectionError

    def _answer(self, request: bytes) -> bytes:
        function = request[0]
        try:
            if function not in _FUNCTIONS:
                raise _RefusedError(ILLEGAL_FUNCTION)
            return request[:1] + _FUNCTIONS[function](self._program, request[1:])
        except _RefusedError as refused:
            return bytes((function | 0x80, refused.code))
        except struct.error:
            return bytes((function | 0x80, ILLEGAL_VALUE))


def _span(address: int, count: int, most: int, size: int) -> slice:
    if not 1 <= count <= most:
        raise _RefusedError(ILLEGAL_VALUE)
    if address + count > size:
        raise _RefusedError(ILLEGAL_ADDRESS)
    return slice(address, address + count)


def _read_coils(program: Program, data: bytes) -> bytes:
    address, count = struct.unpack(">HH", data)
    bits = program.coils[_span(address, count, 2000, COILS)]
    packed = sum(bit << i for i, bit in enumerate(bits)).to_bytes((count + 7) // 8, "little")
    return bytes((len(packed),)) + packed


def _read_registers(program: Program, data: bytes) -> bytes:
    address, count = struct.unpack(">HH", data)
    values = program.registers[_span(address, count, 125, REGISTERS)]
    return struct.pack(f">B{count}H", 2 * count, *values)


def _write_coil(program: Program, data: bytes) -> bytes:
    address, value = struct.unpack(">HH", data)
    if value not in {0, 0xFF00}:
        raise _RefusedError(ILLEGAL_VALUE)
    program.coils[_span(address, 1, 1, COILS)] = [value != 0]
    return data


def _write_register(program: Program, data: bytes) -> bytes:
    address, value = struct.unpack(">HH", data)
    program.registers[_span(address, 1, 1, REGISTERS)] = [value]
    return data


def _write_coils(program: Program, data: bytes) -> bytes:
    address, count, size = struct.unpack_from(">HHB", data)
    span = _span(address, count, 1968, COILS)
    if size != (count + 7) // 8 or len(data) != 5 + size:
        raise _RefusedError(ILLEGAL_VALUE)
    packed = int.from_bytes(data[5:], "little")
    program.coils[span] = [bool(packed >> i & 1) for i in range(count)]
    return data[:4]


def _write_registers(program: Program, data: bytes) -> bytes:
    address, count, size = struct.unpack_from(">HHB", data)
    span = _span(address, count, 123, REGISTERS)
    if size != 2 * count or len(data) != 5 + size:
        raise _RefusedError(ILLEGAL_VALUE)
    program.registers[span] = struct.unpack_from(f">{count}H", data, 5)
    return data[:4]


_FUNCTIONS: dict[int, Callable[[Program, bytes], bytes]] = {
    1: _read_coils,
    3: _read_registers,
    4: _read_registers,
    5: _write_coil,
    6: _write_register,
    15: _write_coils,
    16: _write_registers,
}
