"""Modbus TCP client whose every step is bounded: no hidden retries, no inline reconnect, no late replies.

pymodbus is the protocol implementation (framing, request and response units). Its synchronous client is not
used: it connects inline for up to its timeout, waits for up to twice the timeout for a reply in pieces, and
after a timeout keeps the connection, on which the late reply is then still to come.
"""

import errno
import os
import select
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, WriteMultipleCoilsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from edge._core import PlcResult
from edge.backoff import BackOff
from edge.errors import PlcError
from edge.plc.settings import PlcSettings

AWAKE_NS = 300_000
MBAP_BYTES = 7
READS: dict[int, type[ReadHoldingRegistersRequest | ReadInputRegistersRequest]] = {
    3: ReadHoldingRegistersRequest,
    4: ReadInputRegistersRequest,
}
MAX_ADU_BYTES = 260


class LinkState(Enum):
    """Of the TCP connection."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    GREETING = "greeting"
    """Connected; the answer to a first question is awaited."""
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Reply:
    """How a request ended. ``ack_ns`` is 0 where no reply came."""

    result: PlcResult
    sent_ns: int
    ack_ns: int = 0
    registers: tuple[int, ...] = ()
    exception_code: int = 0

    @property
    def acked(self) -> bool:
        """True when the PLC did what it was asked."""
        return self.result is PlcResult.ACKED


class BadReplyError(Exception):
    """The peer answered something that is no answer to the request."""


class Link(Protocol):
    """What actuation needs of a connection to a PLC. Nothing here raises or waits past its deadline."""

    @property
    def last_error(self) -> str:
        """Why it is not open."""

    @property
    def opened(self) -> int:
        """How many connections there have been."""

    @property
    def is_open(self) -> bool:
        """True while requests can be sent."""

    def service(self, now_ns: int) -> int:
        """Opens the connection step by step; returns when it wants to be called again."""

    def confirm(self) -> None:
        """The PLC has answered sense."""

    def write_registers(self, address: int, values: list[int], deadline_ns: int) -> Reply:
        """Writes holding registers in one request."""

    def rehearse(self, address: int, values: list[int]) -> None:
        """All of ``write_registers`` that leaves nothing on the wire."""

    def read_registers(self, address: int, count: int, deadline_ns: int) -> Reply:
        """Reads holding registers in one request."""

    def write_coil(self, address: int, on: bool, deadline_ns: int) -> Reply:
        """Writes one coil."""

    def read_coils(self, address: int, count: int, deadline_ns: int) -> Reply:
        """Reads coils; they come as registers, 0 or 1."""

    def close(self, reason: str = ...) -> None:
        """Drops the connection."""


class NoLink:
    """The link of a line without a PLC: never open."""

    last_error = "there is no PLC on this line"
    opened = 0
    is_open = False

    def service(self, now_ns: int) -> int:
        """Nothing to do."""
        return now_ns + 1_000_000_000

    def confirm(self) -> None:
        """Never called."""

    def write_registers(self, address: int, values: list[int], deadline_ns: int) -> Reply:
        """DISCONNECTED."""
        return Reply(PlcResult.DISCONNECTED, time.monotonic_ns())

    def rehearse(self, address: int, values: list[int]) -> None:
        """Nothing to do."""

    def read_registers(self, address: int, count: int, deadline_ns: int) -> Reply:
        """DISCONNECTED."""
        return Reply(PlcResult.DISCONNECTED, time.monotonic_ns())

    def write_coil(self, address: int, on: bool, deadline_ns: int) -> Reply:
        """DISCONNECTED."""
        return Reply(PlcResult.DISCONNECTED, time.monotonic_ns())

    def read_coils(self, address: int, count: int, deadline_ns: int) -> Reply:
        """DISCONNECTED."""
        return Reply(PlcResult.DISCONNECTED, time.monotonic_ns())

    def close(self, reason: str = "") -> None:
        """Nothing to do."""


class ModbusTcpLink:
    """One connection, one request at a time. Nothing here raises once it is built.

    Call ``service`` often: it opens the connection in steps that never wait. The last one is a question that any answer
    will do for, a refusal too: a PLC may take its time for the first of a connection, and a connection that nobody
    answers on is none. A request on a link that is not open ends at once as DISCONNECTED. After a timeout or a bad
    reply the connection is closed and opened anew, so a reply that comes late can never be taken for the next one.
    """

    def __init__(self, settings: PlcSettings) -> None:
        self._settings = settings
        self._target = _resolve(settings.host, settings.port)
        self._framer = FramerSocket(DecodePDU(False))
        self._socket: socket.socket | None = None
        self.state = LinkState.CLOSED
        self._back_off = BackOff(settings.reconnect_max_ms)
        self._transaction = 0
        self._begun_ns = self._give_up_ns = 0
        self._greeting = b""
        self.opened = 0
        self.last_error = ""
        """Why the link is not open, for the log."""

    @property
    def is_open(self) -> bool:
        """True while requests can be sent; the PLC may have fallen silent since it answered first."""
        return self.state is LinkState.OPEN

    def service(self, now_ns: int) -> int:
        """Takes the connection one step further without waiting; returns when it wants to be called again."""
        if self.state is LinkState.CLOSED and now_ns >= self._back_off.due_ns:
            self._begin(now_ns)
        if self.state is LinkState.CONNECTING:
            self._poll_connect(now_ns)
        if self.state is LinkState.GREETING:
            self._poll_greeting(now_ns)
        if self.state in {LinkState.CONNECTING, LinkState.GREETING}:
            return now_ns + 2_000_000
        return self._back_off.due_ns if self.state is LinkState.CLOSED else now_ns + 1_000_000_000

    def confirm(self) -> None:
        """The PLC has answered sense: the next loss starts with the shortest pause again."""
        self._back_off.reset()

    def write_registers(self, address: int, values: list[int], deadline_ns: int) -> Reply:
        """Function 16, or 6 for one register where ``plc.write_function`` says so; the echo is checked."""
        if self._settings.write_function == 6 and len(values) == 1:
            return self._transact(WriteSingleRegisterRequest(address=address, registers=values), deadline_ns)
        return self._transact(WriteMultipleRegistersRequest(address=address, registers=values), deadline_ns)

    def rehearse(self, address: int, values: list[int]) -> None:
        """Builds the request and looks at the socket, twice: as before sending and as while waiting."""
        self._frame(WriteMultipleRegistersRequest(address=address, registers=values))
        if self._socket is not None and self.state is LinkState.OPEN:
            select.select([self._socket], [], [], 0)
            with suppress(
                OSError
            ):  # nothing there nearly always; whatever there is stays for the next request
                self._socket.recv(MAX_ADU_BYTES, socket.MSG_PEEK)

    def read_registers(self, address: int, count: int, deadline_ns: int) -> Reply:
        """Function 3 or 4."""
        kind = READS[self._settings.read_function]
        return self._transact(kind(address=address, count=count), deadline_ns)

    def read_coils(self, address: int, count: int, deadline_ns: int) -> Reply:
        """Function 1."""
        return self._transact(ReadCoilsRequest(address=address, count=count), deadline_ns)

    def write_coil(self, address: int, on: bool, deadline_ns: int) -> Reply:
        """Function 5 or 15."""
        if self._settings.coil_function == 15:
            return self._transact(WriteMultipleCoilsRequest(address=address, bits=[on]), deadline_ns)
        return self._transact(WriteSingleCoilRequest(address=address, bits=[on]), deadline_ns)

    def close(self, reason: str = "closed by us") -> None:
        """Drops the connection; ``service`` opens a new one after the pause."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.last_error = reason
        self.state = LinkState.CLOSED
        self._back_off.lost(time.monotonic_ns())

    def _begin(self, now_ns: int) -> None:
        family, address = self._target
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # An idle link lives by the heartbeat; keep-alive only clears half-open connections on the far side.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._begun_ns = now_ns
        self._give_up_ns = now_ns + int(self._settings.connect_timeout_ms * 1e6)
        self.state = LinkState.CONNECTING
        try:
            self._socket.connect(address)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(error.strerror or str(error))

    def _poll_connect(self, now_ns: int) -> None:
        assert self._socket is not None
        if not select.select([], [self._socket], [], 0)[1]:
            if now_ns > self._give_up_ns:
                self.close(f"no connection within {self._settings.connect_timeout_ms:g} ms")
            return
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.close(os.strerror(code))
        elif self._socket.getsockname() == self._socket.getpeername():
            # TCP can connect a free local port to itself while nobody listens there.
            self.close(os.strerror(errno.ECONNREFUSED))
        else:
            self._greet(self._socket, now_ns)

    def _greet(self, sock: socket.socket, now_ns: int) -> None:
        kind = READS[self._settings.read_function]
        self._greeting = b""
        self._give_up_ns = now_ns + int(self._settings.connect_timeout_ms * 1e6)
        self.state = LinkState.GREETING
        try:
            sock.send(self._frame(kind(address=self._settings.plc_base, count=1)))
        except OSError as error:
            self.close(str(error))

    def _poll_greeting(self, now_ns: int) -> None:
        assert self._socket is not None
        try:
            chunk = self._socket.recv(MAX_ADU_BYTES)
            if not chunk:
                raise BadReplyError("the PLC closed the connection")
            self._greeting += chunk
            if self._split(self._greeting) is not None:
                self.state = LinkState.OPEN
                self.opened += 1
        except BlockingIOError:
            if now_ns > self._give_up_ns:
                self.close(f"connected, and no first answer within {self._settings.connect_timeout_ms:g} ms")
                # The pause is there to leave the PLC in peace, and it was.
                self._back_off.due_ns = min(self._back_off.due_ns, now_ns)
        except (OSError, BadReplyError) as error:
            self.close(str(error))

    def _transact(self, request: ModbusPDU, deadline_ns: int) -> Reply:
        sent_ns = time.monotonic_ns()
        if self._socket is None or self.state is not LinkState.OPEN:
            return Reply(PlcResult.DISCONNECTED, sent_ns)
        try:
            frame = self._frame(request)
            self._expect_silence(self._socket)
            sent_ns = time.monotonic_ns()
            # One request at a time into an empty buffer: a short send means that the peer no longer reads.
            if self._socket.send(frame) != len(frame):
                raise BadReplyError("the PLC no longer reads")
            answer, ack_ns = self._receive(self._socket, deadline_ns)
            return self._judge(request, answer, sent_ns, ack_ns)
        except TimeoutError:
            self.close("no answer within the time allowed")
            return Reply(PlcResult.TIMEOUT, sent_ns)
        except (OSError, BadReplyError) as error:
            self.close(str(error))
            return Reply(PlcResult.DISCONNECTED, sent_ns)

    def _expect_silence(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(MAX_ADU_BYTES)
        except BlockingIOError:
            return
        raise BadReplyError("bytes that nobody asked for" if data else "the PLC closed the connection")

    def _frame(self, request: ModbusPDU) -> bytes:
        self._transaction = self._transaction % 0xFFFF + 1
        unit = request.function_code.to_bytes(1, "big") + request.encode()
        return self._framer.encode(unit, self._settings.unit_id, self._transaction)

    def _receive(self, sock: socket.socket, deadline_ns: int) -> tuple[bytes, int]:
        """The reply to the last request, from its function code on, and when it was complete."""
        data = b""
        self._stay_awake(sock, deadline_ns)
        while True:
            remaining_ns = deadline_ns - time.monotonic_ns()
            if remaining_ns <= 0 or not select.select([sock], [], [], remaining_ns / 1e9)[0]:
                raise TimeoutError
            chunk = sock.recv(MAX_ADU_BYTES)
            ack_ns = time.monotonic_ns()
            if not chunk:
                raise BadReplyError("the PLC closed the connection")
            data += chunk
            if (frame := self._split(data)) is not None:
                return frame, ack_ns

    def _stay_awake(self, sock: socket.socket, deadline_ns: int) -> None:
        """For a PLC that answers at once: to fall asleep and to wake up would take longer than its answer."""
        until_ns = min(time.monotonic_ns() + AWAKE_NS, deadline_ns)
        while time.monotonic_ns() < until_ns and not select.select([sock], [], [], 0)[0]:
            pass

    def _split(self, data: bytes) -> bytes | None:
        """The frame once it is complete. Raises BadReplyError as soon as it cannot be the awaited one."""
        if len(data) < MBAP_BYTES:
            return None
        transaction, protocol, length, unit = struct.unpack(">HHHB", data[:MBAP_BYTES])
        if protocol != 0 or not 2 <= length <= MAX_ADU_BYTES - 6:
            raise BadReplyError("an answer that is not Modbus TCP")
        if transaction != self._transaction or unit != self._settings.unit_id:
            raise BadReplyError(
                f"an answer to transaction {transaction} of unit {unit}; "
                f"expected transaction {self._transaction} of unit {self._settings.unit_id}"
            )
        if len(data) > 6 + length:
            raise BadReplyError("more bytes than the answer has")
        return data[MBAP_BYTES:] if len(data) == 6 + length else None

    def _judge(self, request: ModbusPDU, frame: bytes, sent_ns: int, ack_ns: int) -> Reply:
        try:
            response = self._framer.decoder.decode(frame)
        except (ModbusException, ValueError, IndexError, struct.error) as error:
            raise BadReplyError(f"an answer that cannot be read: {error}") from error
        if response is None:
            raise BadReplyError("an answer that cannot be read")
        if response.function_code == request.function_code | 0x80:
            return Reply(PlcResult.REFUSED, sent_ns, ack_ns, exception_code=response.exception_code)
        if response.function_code != request.function_code or not _answers(request, response):
            raise BadReplyError("an answer to another request")
        if isinstance(request, ReadCoilsRequest):
            return Reply(PlcResult.ACKED, sent_ns, ack_ns, tuple(map(int, response.bits[: request.count])))
        return Reply(PlcResult.ACKED, sent_ns, ack_ns, tuple(response.registers))


def _answers(request: ModbusPDU, response: ModbusPDU) -> bool:
    if isinstance(request, ReadCoilsRequest):
        return len(response.bits) >= request.count
    if isinstance(request, tuple(READS.values())):
        return len(response.registers) == request.count
    if isinstance(request, WriteSingleCoilRequest):
        return response.address == request.address and list(response.bits[:1]) == list(request.bits[:1])
    if isinstance(request, WriteMultipleCoilsRequest):
        return response.address == request.address and response.count == len(request.bits)
    if isinstance(request, WriteSingleRegisterRequest):
        return response.address == request.address and list(response.registers) == list(request.registers)
    return response.address == request.address and response.count == request.count


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Once, at start: a name server must not hold up the link later."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise PlcError(
            f"plc.host is {host!r}: {error.strerror}; expected an address or a name known to this machine"
        ) from error
    return family, (str(address[0]), int(address[1]))
