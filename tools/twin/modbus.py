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


class Program(Protocol):
    """What runs on the PLC."""

    coils: list[bool]
    registers: list[int]

    def before_request(self, now_ns: int) -> None:
        """Called with the time at which the request was received."""

    def wrote_registers(self, address: int, count: int, now_ns: int) -> None:
        """Called after registers have changed."""

    def wrote_coils(self, now_ns: int) -> None:
        """Called after coils have been written."""


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
            rest, replies = self._answer_all(self._buffers[sock] + data, now_ns)
            self._buffers[sock] = rest
            if sock.send(replies) != len(replies):
                raise ConnectionError
        except OSError:
            # Gone, not Modbus, or no longer reading: in each case the connection is of no use.
            self._drop(sock)

    def _answer_all(self, data: bytes, now_ns: int) -> tuple[bytes, bytes]:
        replies = b""
        while len(data) >= 8:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", data)
            if protocol != 0 or not 2 <= length <= MAX_ADU_BYTES - 6:
                raise ConnectionError
            if len(data) < 6 + length:
                break
            self._program.before_request(now_ns)
            reply = self._answer(data[7 : 6 + length], now_ns)
            replies += struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit) + reply
            data = data[6 + length :]
        return data, replies

    def _answer(self, request: bytes, now_ns: int) -> bytes:
        function = request[0]
        try:
            if function not in _FUNCTIONS:
                raise _RefusedError(ILLEGAL_FUNCTION)
            return request[:1] + _FUNCTIONS[function](self._program, request[1:], now_ns)
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


def _read_coils(program: Program, data: bytes, _: int) -> bytes:
    address, count = struct.unpack(">HH", data)
    bits = program.coils[_span(address, count, 2000, COILS)]
    packed = sum(bit << i for i, bit in enumerate(bits)).to_bytes((count + 7) // 8, "little")
    return bytes((len(packed),)) + packed


def _read_registers(program: Program, data: bytes, _: int) -> bytes:
    address, count = struct.unpack(">HH", data)
    values = program.registers[_span(address, count, 125, REGISTERS)]
    return struct.pack(f">B{count}H", 2 * count, *values)


def _write_coil(program: Program, data: bytes, now_ns: int) -> bytes:
    address, value = struct.unpack(">HH", data)
    if value not in {0, 0xFF00}:
        raise _RefusedError(ILLEGAL_VALUE)
    program.coils[_span(address, 1, 1, COILS)] = [value != 0]
    program.wrote_coils(now_ns)
    return data


def _write_register(program: Program, data: bytes, now_ns: int) -> bytes:
    address, value = struct.unpack(">HH", data)
    program.registers[_span(address, 1, 1, REGISTERS)] = [value]
    program.wrote_registers(address, 1, now_ns)
    return data


def _write_coils(program: Program, data: bytes, now_ns: int) -> bytes:
    address, count, size = struct.unpack_from(">HHB", data)
    span = _span(address, count, 1968, COILS)
    if size != (count + 7) // 8 or len(data) != 5 + size:
        raise _RefusedError(ILLEGAL_VALUE)
    packed = int.from_bytes(data[5:], "little")
    program.coils[span] = [bool(packed >> i & 1) for i in range(count)]
    program.wrote_coils(now_ns)
    return data[:4]


def _write_registers(program: Program, data: bytes, now_ns: int) -> bytes:
    address, count, size = struct.unpack_from(">HHB", data)
    span = _span(address, count, 123, REGISTERS)
    if size != 2 * count or len(data) != 5 + size:
        raise _RefusedError(ILLEGAL_VALUE)
    program.registers[span] = struct.unpack_from(f">{count}H", data, 5)
    program.wrote_registers(address, count, now_ns)
    return data[:4]


_FUNCTIONS: dict[int, Callable[[Program, bytes, int], bytes]] = {
    1: _read_coils,
    3: _read_registers,
    4: _read_registers,
    5: _write_coil,
    6: _write_register,
    15: _write_coils,
    16: _write_registers,
}
