"""Whether encoder, speed and part sensor tell one story. Where they do not, nobody knows where the parts are.

Two readings are compared: how far the count moved, and how far the speed says it should have. The limit is small
enough that an error is found before it reaches half of an ejector pulse.
"""

from collections import deque
from enum import Enum

WINDOW_MM = 60.0
"""Belt travel over which count and speed are compared."""
TOLERANCE_MM = 10.0
TOLERANCE_SHARE = 0.15
LONG_GAP_NS = 250_000_000
"""After a gap like this the speed says nothing about the travel in between."""
STILL_NS = 100_000_000
"""A part that arrives on a belt that has stood still for so long was carried by something."""
UNBELIEVABLE_IN_A_ROW = 3


class Doubt(Enum):
    """Why the position of the parts is not to be trusted."""

    NONE = "none"
    MISMATCH = "count and speed disagree: encoder lost, noisy, reversed, or the belt runs backwards"
    JUMP = "the count leapt: the PLC or its counter was restarted"
    SUDDEN_STOP = "the belt is said to stand still sooner than it can stop"
    MOVED_STANDING = "parts arrive although the belt is said to stand still"
    SILENT = "the encoder says nothing"
    IMPOSSIBLE_SPEED = "the speed is above what the belt can do"


class BeltWatch:
    """Fed with every reading and every trigger; ``doubt`` is what holds now."""

    def __init__(self, max_m_per_s2: float) -> None:
        self._max_m_per_s2 = max_m_per_s2
        self._window: deque[tuple[float, float]] = deque()
        self._still_since_ns: int | None = None
        self._impossible = 0
        self.doubt = Doubt.NONE

    def reading(
        self, gap_ns: int, travel_mm: float, before_m_per_s: float, after_m_per_s: float, stamp_ns: int
    ) -> Doubt:
        """The belt moved ``travel_mm`` by its count since the last reading, ``gap_ns`` ago."""
        self._impossible = 0
        if gap_ns > LONG_GAP_NS:
            self._window.clear()
            if self.doubt is Doubt.SILENT:
                self.doubt = Doubt.NONE
            self._standing(after_m_per_s, stamp_ns)
            return self.doubt
        told_mm = (before_m_per_s + after_m_per_s) / 2 * gap_ns * 1e-6
        self._window.append((travel_mm, told_mm))
        travelled_mm, expected_mm = (sum(column) for column in zip(*self._window, strict=True))
        while len(self._window) > 1 and expected_mm - self._window[0][1] > WINDOW_MM:
            oldest = self._window.popleft()
            travelled_mm, expected_mm = travelled_mm - oldest[0], expected_mm - oldest[1]
        stopping_m_per_s = before_m_per_s - after_m_per_s
        if abs(travelled_mm - expected_mm) > TOLERANCE_MM + TOLERANCE_SHARE * expected_mm:
            self.doubt = Doubt.MISMATCH
        elif after_m_per_s == 0 and stopping_m_per_s > self._max_m_per_s2 * max(gap_ns, 1) * 1e-9:
            self.doubt = Doubt.SUDDEN_STOP
        elif (after_m_per_s > 0 and travel_mm > 0) or self.doubt in {
            Doubt.MISMATCH,
            Doubt.JUMP,
            Doubt.SILENT,
        }:
            self.doubt = Doubt.NONE
        self._standing(after_m_per_s, stamp_ns)
        return self.doubt

    def jumped(self) -> Doubt:
        """The count does not follow from the one before."""
        self._window.clear()
        self.doubt = Doubt.JUMP
        return self.doubt

    def silent(self) -> None:
        """The encoder has not been read for too long."""
        self._window.clear()
        self.doubt = Doubt.SILENT

    def impossible(self) -> None:
        """A speed that cannot be."""
        self._impossible += 1
        if self._impossible >= UNBELIEVABLE_IN_A_ROW:
            self.doubt = Doubt.IMPOSSIBLE_SPEED

    def trigger(self, stamp_ns: int) -> None:
        """A part passed the sensor."""
        if self._still_since_ns is not None and stamp_ns > self._still_since_ns + STILL_NS:
            self.doubt = Doubt.MOVED_STANDING

    def _standing(self, speed_m_per_s: float, stamp_ns: int) -> None:
        if speed_m_per_s > 0:
            self._still_since_ns = None
        elif self._still_since_ns is None:
            self._still_since_ns = stamp_ns
