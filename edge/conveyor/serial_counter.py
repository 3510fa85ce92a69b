"""A counter of its own on a serial line for the belt's encoder: asked in turn, never waited for.

Protocol: the query is sent, the counter answers one line with its count as a decimal number (other characters around
it do no harm). That is what most encoder counters with RS-232, RS-485 or USB can be set to.
"""

import logging
import re
from collections import deque

import serial

from edge.backoff import BackOff
from edge.conveyor.settings import CounterSettings
from edge.conveyor.speed import EncoderBelt
from edge.plc.registers import U32_MASK
from edge.plc.serial_port import LOST

log = logging.getLogger("edge.conveyor")

BITS_PER_CHARACTER = 10
ANSWER_CHARACTERS = 12
LOOK_AGAIN_NS = 1_000_000
SPEED_OVER_NS = 60_000_000
"""The speed is that over so long: one count more or less must not matter."""
LONGEST_LINE = 64
"""Bytes; a line that does not end is none."""
_NUMBER = re.compile(rb"[+-]?\d+")


class SerialCounter:
    """Feeds a belt. ``service`` at every turn; nothing here waits or raises."""

    def __init__(self, settings: CounterSettings, belt: EncoderBelt, counts_per_mm: float) -> None:
        self._settings = settings
        self._belt = belt
        self._counts_per_mm = counts_per_mm
        self._port: serial.Serial | None = None
        self._back_off = BackOff(1000.0)
        self._query = settings.query.encode("ascii")
        characters = len(self._query) + ANSWER_CHARACTERS
        self._answer_ns = int(characters * BITS_PER_CHARACTER * 1e9 / settings.baud)
        self._line = b""
        self._asked_ns = 0
        self._due_ns = 0
        self._last_ns: int | None = None
        self._count: int | None = None
        self._travelled = 0
        self._points: deque[tuple[int, int]] = deque()
        self._told = ""
        self.read_ns = 0
        """When the last count was taken; 0: there was none yet."""

    def service(self, now_ns: int) -> int:
        """Opens the line, asks, takes an answer that has come; returns when it wants to be called again."""
        self._watch_silence(now_ns)
        if self._port is None and not self._open(now_ns):
            return max(self._back_off.due_ns, now_ns + LOOK_AGAIN_NS)
        try:
            if self._asked_ns:
                self._take(now_ns)
            if not self._asked_ns and now_ns >= self._due_ns:
                self._ask(now_ns)
        except LOST as error:
            self._lose(now_ns, str(error))
            return now_ns + LOOK_AGAIN_NS
        if not self._asked_ns:
            return self._due_ns
        return max(self._asked_ns + self._answer_ns, now_ns + LOOK_AGAIN_NS)

    def _open(self, now_ns: int) -> bool:
        if now_ns < self._back_off.due_ns:
            return False
        settings = self._settings
        try:
            self._port = serial.Serial(
                settings.port,
                settings.baud,
                parity=settings.parity,
                timeout=0,
                write_timeout=0,
                exclusive=True,
            )
        except (serial.SerialException, OSError, ValueError) as error:
            self._lose(now_ns, str(error))
            return False
        log.warning("the encoder counter at %s is open", settings.port)
        self._asked_ns = 0
        return True

    def _ask(self, now_ns: int) -> None:
        assert self._port is not None
        self._port.reset_input_buffer()  # a late answer to the question before
        self._line = b""
        self._port.write(self._query)
        self._asked_ns = now_ns
        self._due_ns = max(self._due_ns + self._settings.period_ms * 1_000_000, now_ns + LOOK_AGAIN_NS)

    def _take(self, now_ns: int) -> None:
        assert self._port is not None
        self._line += self._port.read(LONGEST_LINE)
        end = self._line.find(b"\n")
        if end < 0 and len(self._line) < LONGEST_LINE:
            if now_ns > self._asked_ns + self._answer_ns + self._settings.silent_after_ms * 1_000_000 // 2:
                self._asked_ns = 0  # asked again
            return
        asked_ns, self._asked_ns = self._asked_ns, 0
        found = _NUMBER.search(self._line[:end]) if end >= 0 else None
        if found is None:
            self._tell(f"found {self._line[:LONGEST_LINE]!r}; expected a line with a number, as 123456\\r\\n")
            return
        self._back_off.reset()
        self._told = ""
        self._counted(int(found.group()), asked_ns, now_ns)

    def _counted(self, count: int, asked_ns: int, now_ns: int) -> None:
        """``count`` as the counter shows it, with so many bits as it has."""
        span = 1 << self._settings.bits
        if self._count is not None:
            step = (count - self._count) % span
            self._travelled += step - span if step >= span // 2 else step
        self._count = count
        taken_ns = (asked_ns + now_ns) // 2
        self._points.append((taken_ns, self._travelled))
        while len(self._points) > 2 and self._points[1][0] <= taken_ns - SPEED_OVER_NS:
            self._points.popleft()
        first_ns, first = self._points[0]
        if taken_ns > first_ns:
            mm = abs(self._travelled - first) / self._counts_per_mm
            self._belt.update(
                self._travelled & U32_MASK, round(mm * 1e9 / (taken_ns - first_ns)), asked_ns, now_ns
            )
            self.read_ns = taken_ns
        self._last_ns = now_ns

    def _watch_silence(self, now_ns: int) -> None:
        if self._last_ns is None:
            self._last_ns = now_ns
        if now_ns - self._last_ns > self._settings.silent_after_ms * 1_000_000:
            self._belt.silent()
            self._points.clear()

    def _lose(self, now_ns: int, error: str) -> None:
        if self._port is not None:
            self._port.close()
        self._port = None
        self._back_off.lost(now_ns)
        self._tell(error)

    def _tell(self, error: str) -> None:
        if error != self._told:
            self._told = error
            log.error("the encoder counter at %s: %s; everything is rejected", self._settings.port, error)
