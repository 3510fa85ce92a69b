"""The encoder counter on a real serial line (a pair of pseudo terminals), with a device that answers."""

import os
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.conveyor.doubt import Doubt
from edge.conveyor.serial_counter import SerialCounter
from edge.conveyor.settings import ConveyorSettings, CounterSettings
from edge.conveyor.speed import EncoderBelt
from tests.plc.line_rig import until
from tests.plc.pty_pair import PtyPair, pty_pair

M_PER_S = 1.5
COUNTS_PER_MM = 10.0


class Counter:
    """Answers every line that it gets; what it says can be changed."""

    def __init__(self, port: Path, bits: int) -> None:
        self._port = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._port)
        self._bits = bits
        self.start_ns = time.monotonic_ns()
        self.answer: Callable[[int], bytes] = lambda count: b"%d\r\n" % count
        self._over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def travel_mm(self, now_ns: int) -> float:
        return M_PER_S * (now_ns - self.start_ns) * 1e-6

    def _serve(self) -> None:
        heard = b""
        while not self._over:
            if not select.select([self._port], [], [], 0.05)[0]:
                continue
            try:
                heard += os.read(self._port, 64)
            except OSError:  # the cable was pulled
                return
            if heard.endswith(b"\n"):
                heard = b""
                count = int(self.travel_mm(time.monotonic_ns()) * COUNTS_PER_MM) + 2**self._bits - 3000
                os.write(self._port, self.answer(count % 2**self._bits))

    def close(self) -> None:
        self._over = True
        self._thread.join()
        os.close(self._port)


class Line:
    """The belt fed by the counter, serviced as actuation does."""

    def __init__(self, pair: PtyPair, **settings: object) -> None:
        self.counter = CounterSettings.model_validate({"port": str(pair.ours), **settings})
        conveyor = ConveyorSettings(speed_source="serial", counter=self.counter, counts_per_mm=COUNTS_PER_MM)
        self.belt = EncoderBelt(conveyor, time.monotonic_ns(), latched=False, plc_counts=False)
        self.source = SerialCounter(self.counter, self.belt, COUNTS_PER_MM)

    def until(self, condition: Callable[[], bool]) -> None:
        def turn() -> bool:
            self.source.service(time.monotonic_ns())
            return condition()

        until(turn, 5, every_s=0.001)


@contextmanager
def device(pair: PtyPair, bits: int = 32) -> Iterator[Counter]:
    counter = Counter(pair.theirs, bits)
    try:
        yield counter
    finally:
        counter.close()


@pytest.mark.parametrize("bits", [16, 32])
def test_belt_follows_the_counter_beyond_its_wrap(tmp_path, bits):
    with pty_pair(tmp_path) as pair, device(pair, bits) as counter:
        line = Line(pair, bits=bits)
        line.until(
            lambda: line.belt.speed_m_per_s == pytest.approx(M_PER_S, rel=0.1) and line.source.read_ns > 0
        )
        # The pair of positions is read at one time; the counter wraps after 300 mm.
        now = time.monotonic_ns()
        offset_mm = counter.travel_mm(now) - line.belt.position_mm(now)
        line.until(lambda: counter.travel_mm(time.monotonic_ns()) > 600)
        now = time.monotonic_ns()
        error_mm = abs(counter.travel_mm(now) - line.belt.position_mm(now) - offset_mm)
        assert error_mm < 10 + 2 * line.belt.slack_mm
        assert line.belt.doubt is Doubt.NONE
        assert line.belt.jumps == 0
        assert line.belt.encoder_count(0.0) is None


@pytest.mark.parametrize("said", [b"", b"ERR\r\n", b"no count\r\n", b"x" * 200])
def test_silence_and_nonsense_are_doubted_until_it_counts_again(tmp_path, said):
    with pty_pair(tmp_path) as pair, device(pair) as counter:
        line = Line(pair)
        line.until(lambda: line.source.read_ns > 0)
        good = counter.answer
        counter.answer = lambda _count: said
        line.until(lambda: line.belt.doubt is Doubt.SILENT)
        counter.answer = good
        line.until(lambda: line.belt.doubt is Doubt.NONE)


def test_cable_that_was_pulled_is_found_again(tmp_path):
    with pty_pair(tmp_path) as pair:
        with device(pair):
            line = Line(pair)
            line.until(lambda: line.source.read_ns > 0)
            pair.pull()
            line.until(lambda: line.belt.doubt is Doubt.SILENT)
        pair.put()
        with device(pair):
            line.until(lambda: line.belt.doubt is not Doubt.SILENT)


def test_line_that_is_not_there_says_so_and_is_tried_again(tmp_path, caplog):
    with pty_pair(tmp_path) as pair:
        pair.pull()
        line = Line(pair)
        now = time.monotonic_ns()
        assert line.source.service(now) > now
        assert str(pair.ours) in caplog.text
        pair.put()
        with device(pair):
            line.until(lambda: line.source.read_ns > 0)


def test_counter_and_source_belong_together():
    with pytest.raises(ValueError, match=r"speed_source: serial with counter: \{port"):
        ConveyorSettings(speed_source="serial")
    with pytest.raises(ValueError, match="counter is given"):
        ConveyorSettings(speed_source="plc", counter=CounterSettings(port="/dev/ttyUSB0"))
