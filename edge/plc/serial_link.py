"""Modbus RTU over a serial line (USB-RS485), with the same bounds as the TCP link.

RTU has no transaction number: after a request that was not answered, a late answer could be taken for the next one's.
So the line is quiet for ``serial.silence_ms`` then, what comes is thrown away, and before anything is written again a
read of a length that no other request has must be answered: a slave answers in order, so nothing older is left.
"""

import os
import select
import struct
import time
from contextlib import suppress
from dataclasses import dataclass

import serial
from pymodbus.framer.rtu import FramerRTU
from serial.rs485 import RS485Settings

from edge._core import PlcResult
from edge.backoff import BackOff
from edge.errors import PlcError
from edge.plc.link import BadReplyError, LinkState, Reply
from edge.plc.serial_port import LOST
from edge.plc.settings import PlcSettings, SerialSettings

MAX_ADU_BYTES = 256
NOISE_BYTES = 2
"""An adapter that switches its driver late or early puts up to so many wrong bytes before an answer."""
PROBE_WORDS = (1, 2, 3, 4, 5, 6, 7)
"""Lengths of the reads that prove that the line is in step; the blocks are read in other lengths."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer to a request must begin with, and how long it is, unit to checksum."""

    head: bytes
    size: int


class ModbusRtuLink:
    """One serial line, one slave, one request at a time. Nothing here raises once it is built."""

    def __init__(self, settings: PlcSettings) -> None:
        if settings.serial is None:
            raise PlcError(
                "plc.kind is 'rtu', but there is no plc.serial; expected at least serial: {port: …}"
            )
        self._settings = settings
        self._serial: SerialSettings = settings.serial
        self._port: serial.Serial | None = None
        self.state = LinkState.CLOSED
        self._back_off = BackOff(settings.reconnect_max_ms)
        self._quiet_until_ns = 0
        self._probe = 0
        self._last_byte_ns = 0
        bits = 10 + (self._serial.parity != "N") + (self._serial.stop_bits == 2)
        self._char_ns = int(bits * 1e9 / self._serial.baud)
        # 3.5 characters of silence between frames; fixed above 19,200 Bd (Modbus over serial line V1.02, 2.5.1.1).
        self._gap_ns = int(3.5 * self._char_ns) if self._serial.baud <= 19_200 else 1_750_000
        self.opened = 0
        self.last_error = ""

    @property
    def is_open(self) -> bool:
        """True while requests can be sent."""
        return self.state is LinkState.OPEN

    def service(self, now_ns: int) -> int:
        """Opens the line, waits until it is quiet, proves that it is in step; never longer than one time-out."""
        if self.state is LinkState.CLOSED and now_ns >= self._back_off.due_ns:
            self._open(now_ns)
        if self.state is LinkState.CONNECTING and now_ns >= self._quiet_until_ns:
            self._prove()
        if self.state is LinkState.OPEN:
            return now_ns + 1_000_000_000
        return self._quiet_until_ns if self.state is LinkState.CONNECTING else self._back_off.due_ns

    def confirm(self) -> None:
        """The PLC has answered sense: the next loss starts with the shortest pause again."""
        self._back_off.reset()

    def rehearse(self, address: int, values: list[int]) -> None:
        """Nothing to gain: a character on the wire takes longer."""

    def write_registers(self, address: int, values: list[int], deadline_ns: int) -> Reply:
        """Function 16, or 6 for one register where ``plc.write_function`` says so; the echo is checked."""
        if self._settings.write_function == 6 and len(values) == 1:
            body = struct.pack(">BHH", 6, address, values[0])
            return self._transact(body, Expected(self._unit + body, 8), deadline_ns)
        count = len(values)
        body = struct.pack(f">BHHB{count}H", 16, address, count, 2 * count, *values)
        return self._transact(body, Expected(self._unit + body[:5], 8), deadline_ns)

    def read_registers(self, address: int, count: int, deadline_ns: int) -> Reply:
        """Function 3 or 4."""
        function = self._settings.read_function
        body = struct.pack(">BHH", function, address, count)
        return self._transact(
            body, Expected(self._unit + bytes((function, 2 * count)), 5 + 2 * count), deadline_ns
        )

    def write_coil(self, address: int, on: bool, deadline_ns: int) -> Reply:
        """Function 5 or 15."""
        if self._settings.coil_function == 15:
            body = struct.pack(">BHHBB", 15, address, 1, 1, on)
            return self._transact(body, Expected(self._unit + body[:5], 8), deadline_ns)
        body = struct.pack(">BHH", 5, address, 0xFF00 if on else 0)
        return self._transact(body, Expected(self._unit + body, 8), deadline_ns)

    def read_coils(self, address: int, count: int, deadline_ns: int) -> Reply:
        """Function 1; the coils come as registers, 0 or 1."""
        size = (count + 7) // 8
        body = struct.pack(">BHH", 1, address, count)
        reply = self._transact(body, Expected(self._unit + bytes((1, size)), 5 + size), deadline_ns)
        bits = int.from_bytes(bytes(reply.registers), "little")
        return Reply(
            reply.result,
            reply.sent_ns,
            reply.ack_ns,
            tuple(bits >> i & 1 for i in range(count)) if reply.acked else (),
            reply.exception_code,
        )

    def close(self, reason: str = "closed by us") -> None:
        """Gives the line up; ``service`` opens it anew after the pause."""
        if self._port is not None:
            with suppress(OSError):  # an adapter that was pulled out
                self._port.close()
            self._port = None
        self.last_error = reason
        self.state = LinkState.CLOSED
        self._back_off.lost(time.monotonic_ns())

    @property
    def _unit(self) -> bytes:
        return bytes((self._settings.unit_id,))

    def _open(self, now_ns: int) -> None:
        s = self._serial
        try:
            port = serial.Serial(
                s.port,
                s.baud,
                parity=s.parity,
                stopbits=s.stop_bits,
                timeout=0,
                write_timeout=0.05,
                exclusive=True,
            )
            self._port = port
            if s.rts == "rs485":
                port.rs485_mode = RS485Settings()
            elif s.rts == "toggle":
                port.rts = False
        except (OSError, ValueError) as error:  # SerialException is an OSError
            self.close(_words(error))
            return
        self.state = LinkState.CONNECTING
        self._quiet_until_ns = now_ns + 2 * self._gap_ns

    def _out_of_step(self, reason: str) -> None:
        """The line stays open, but is listened to in silence for a while."""
        self.last_error = reason
        self.state = LinkState.CONNECTING
        self._quiet_until_ns = time.monotonic_ns() + int(self._serial.silence_ms * 1e6)

    def _prove(self) -> None:
        self._probe = (self._probe + 1) % len(PROBE_WORDS)
        self.state = LinkState.OPEN
        deadline_ns = time.monotonic_ns() + int(self._settings.timeout_ms * 1e6)
        self._drain()
        reply = self.read_registers(self._settings.plc_base, PROBE_WORDS[self._probe], deadline_ns)
        # An exception is an answer too.
        if reply.ack_ns:
            self.opened += 1

    def _drain(self) -> None:
        try:
            if self._port is not None:
                self._port.reset_input_buffer()
        except LOST as error:
            self.close(_words(error))

    def _transact(self, body: bytes, expected: Expected, deadline_ns: int) -> Reply:
        sent_ns = time.monotonic_ns()
        if self._port is None or self.state is not LinkState.OPEN:
            return Reply(PlcResult.DISCONNECTED, sent_ns)
        frame = self._unit + body
        frame += FramerRTU.compute_CRC(frame).to_bytes(2, "big")
        try:
            self._keep_gap()
            self._expect_silence(self._port)
            sent_ns = time.monotonic_ns()
            self._send(self._port, frame)
            answer, ack_ns = self._receive(self._port, frame, expected, deadline_ns)
        except TimeoutError:
            self._out_of_step("no answer within the time allowed")
            return Reply(PlcResult.TIMEOUT, sent_ns)
        except BadReplyError as error:
            self._out_of_step(str(error))
            return Reply(PlcResult.DISCONNECTED, sent_ns)
        except LOST as error:
            self.close(_words(error))
            return Reply(PlcResult.DISCONNECTED, sent_ns)
        return self._judge(answer, expected, sent_ns, ack_ns)

    def _keep_gap(self) -> None:
        wait_ns = self._last_byte_ns + self._gap_ns - time.monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)

    def _expect_silence(self, port: serial.Serial) -> None:
        if port.in_waiting:
            port.reset_input_buffer()
            raise BadReplyError("bytes that nobody asked for")

    def _send(self, port: serial.Serial, frame: bytes) -> None:
        toggle = self._serial.rts == "toggle"
        if toggle:
            port.rts = True
        port.write(frame)
        if toggle:
            # The driver must hold the line until the last stop bit; then give it free for the answer.
            port.flush()
            port.rts = False

    def _receive(
        self, port: serial.Serial, frame: bytes, expected: Expected, deadline_ns: int
    ) -> tuple[bytes, int]:
        data = b""
        echo = frame if self._serial.echo else b""
        while True:
            remaining_ns = deadline_ns - time.monotonic_ns()
            if remaining_ns <= 0 or not select.select([port], [], [], remaining_ns / 1e9)[0]:
                raise TimeoutError
            chunk = os.read(port.fileno(), MAX_ADU_BYTES)
            if not chunk:
                raise OSError("the serial line hung up")
            self._last_byte_ns = time.monotonic_ns()
            data += chunk
            if echo and len(data) >= len(echo):
                if not data.startswith(echo):
                    raise BadReplyError("no echo of the request; set plc.serial.echo to false")
                data, echo = data[len(echo) :], b""
            if not echo and (answer := _answer(data, expected)) is not None:
                return answer, self._last_byte_ns

    def _judge(self, answer: bytes, expected: Expected, sent_ns: int, ack_ns: int) -> Reply:
        if answer[1] & 0x80:
            return Reply(PlcResult.REFUSED, sent_ns, ack_ns, exception_code=answer[2])
        body = answer[len(expected.head) : -2]
        if answer[1] in {3, 4}:
            return Reply(PlcResult.ACKED, sent_ns, ack_ns, struct.unpack(f">{len(body) // 2}H", body))
        return Reply(PlcResult.ACKED, sent_ns, ack_ns, tuple(body))


def _answer(data: bytes, expected: Expected) -> bytes | None:
    """The answer once it is whole, behind at most two bytes of noise. Raises BadReplyError for anything else."""
    refusal = Expected(bytes((expected.head[0], expected.head[1] | 0x80)), 5)
    pending = False
    for skip in range(min(NOISE_BYTES, len(data)) + 1):
        rest = data[skip:]
        for form in (expected, refusal):
            if not rest or not (rest.startswith(form.head) or form.head.startswith(rest)):
                pending = pending or not rest
                continue
            if len(rest) < form.size:
                pending = True
            elif len(rest) > form.size:
                raise BadReplyError("more bytes than the answer has")
            elif FramerRTU.compute_CRC(rest[:-2]).to_bytes(2, "big") == rest[-2:]:
                return rest
    if not pending:
        raise BadReplyError("an answer that does not fit the request, or whose checksum is wrong")
    return None


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
