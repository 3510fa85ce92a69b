"""Where the belt is now: a fixed speed, or the PLC's encoder carried forward between two readings.

Belt travel is in mm on an axis of our own that never jumps, whatever the encoder does; times are ns.
"""

from typing import Protocol

from edge.conveyor.doubt import LONG_GAP_NS, TOLERANCE_MM, BeltWatch, Doubt
from edge.conveyor.settings import ConveyorSettings
from edge.plc.registers import U32_MASK, signed_distance

MM_PER_NS = 1e-6
"""At 1 m/s."""

SPEED_ERROR = 0.1
"""Share by which the speed may be wrong between two readings."""

ENCODER_JUMP_MM = 50.0
"""A reading further than this from what the speed allows is a new encoder, not travel."""


class Belt(Protocol):
    """What part tracking needs to know."""

    @property
    def speed_m_per_s(self) -> float:
        """Latest speed; 0 when the belt stands still."""

    @property
    def doubt(self) -> Doubt:
        """Why positions are not to be trusted now; NONE: they are."""

    @property
    def slack_mm(self) -> float:
        """The belt may be so far before or behind ``position_mm``."""

    def position_mm(self, now_ns: int) -> float:
        """Belt travel at a time."""

    def certain_mm(self, now_ns: int) -> float:
        """Belt travel that it has certainly made: as of the last reading, for it may have stood since."""

    def trigger_position_mm(self, encoder_count: int, stamp_ns: int) -> float:
        """Belt travel when a part sensor fired."""

    def encoder_count(self, position_mm: float) -> int | None:
        """What the PLC's encoder shows at a belt travel, unsigned 32 bit; None when that is unknown."""


class FixedBelt:
    """A belt of constant speed, without an encoder."""

    doubt = Doubt.NONE
    slack_mm = 0.0

    def __init__(self, settings: ConveyorSettings) -> None:
        self.speed_m_per_s = settings.m_per_s

    def position_mm(self, now_ns: int) -> float:
        """Belt travel at a time, since the clock began."""
        return self.speed_m_per_s * MM_PER_NS * now_ns

    def certain_mm(self, now_ns: int) -> float:
        """By the clock: it never stands."""
        return self.position_mm(now_ns)

    def trigger_position_mm(self, encoder_count: int, stamp_ns: int) -> float:
        """From the time alone."""
        return self.position_mm(stamp_ns)

    def encoder_count(self, position_mm: float) -> int | None:
        """Unknown."""
        return None


class EncoderBelt:
    """Encoder and speed as the PLC last told; at the configured speed until it has."""

    def __init__(
        self, settings: ConveyorSettings, now_ns: int, *, latched: bool = True, plc_counts: bool = True
    ) -> None:
        """``latched``: triggers carry this encoder's count; ``plc_counts``: it is the one that the PLC shows."""
        self._settings = settings
        self._latched = latched
        self._plc_counts = plc_counts
        self.speed_m_per_s = settings.m_per_s
        self._position_mm = 0.0
        self._stamp_ns = now_ns
        self._slack_ns = 0
        self._encoder: int | None = None
        self._watch = BeltWatch(settings.max_m_per_s2)
        self.jumps = 0
        """Readings that did not follow from the one before: PLC restarted, or encoder broken."""

    @property
    def doubt(self) -> Doubt:
        """Why positions are not to be trusted now; NONE: they are."""
        return self._watch.doubt

    @property
    def read_ns(self) -> int:
        """When the last reading was taken; before the first: when this began."""
        return self._stamp_ns

    @property
    def slack_mm(self) -> float:
        """What an answer that took its time leaves open, at the speed of now."""
        return self.speed_m_per_s * MM_PER_NS * self._slack_ns

    def update(
        self, encoder_count: int, speed_mm_per_s: int, asked_ns: int, answered_ns: int | None = None
    ) -> bool:
        """A reading of an unsigned 32-bit encoder, taken between question and answer; False: it was not believed."""
        speed_m_per_s = speed_mm_per_s / 1000.0
        if speed_m_per_s > self._settings.max_m_per_s:
            self._watch.impossible()
            return False
        answered_ns = asked_ns if answered_ns is None else answered_ns
        stamp_ns, slack_ns = self._taken(encoder_count, speed_m_per_s, asked_ns, answered_ns)
        measured_mm = expected_mm = self.position_mm(stamp_ns)
        gap_ns = stamp_ns - self._stamp_ns
        if self._encoder is not None:
            travel_mm = self._travel_mm(encoder_count, self._encoder)
            measured_mm = self._position_mm + travel_mm
            if abs(measured_mm - expected_mm) > self._reach_mm(stamp_ns):
                self.jumps += 1
                self._watch.jumped()
                # After a long silence the belt may have stood: what is believed must not be ahead of the truth.
                measured_mm = expected_mm if gap_ns <= LONG_GAP_NS else min(expected_mm, self._position_mm)
            elif gap_ns > LONG_GAP_NS and not self._latched and abs(measured_mm - expected_mm) > TOLERANCE_MM:
                # Parts that came meanwhile were placed by a speed that no longer held.
                self._watch.jumped()
            elif self._watch.reading(gap_ns, travel_mm, self.speed_m_per_s, speed_m_per_s, stamp_ns) is not (
                Doubt.NONE
            ):
                # The one further back: who waits until the belt has carried away what may be under way waits longer.
                measured_mm = min(measured_mm, expected_mm)
        self._position_mm, self._stamp_ns, self._encoder = measured_mm, stamp_ns, encoder_count
        self._slack_ns = slack_ns
        self.speed_m_per_s = speed_m_per_s
        return True

    def _taken(
        self, encoder_count: int, speed_m_per_s: float, asked_ns: int, answered_ns: int
    ) -> tuple[int, int]:
        """When a reading was taken, and how far wrong that may be.

        Some time between question and answer; where that is long, the time at which the belt must have been there by
        the readings before is closer.
        """
        half_ns = (answered_ns - asked_ns) // 2
        middle_ns = asked_ns + half_ns
        mean_mm_per_ns = (self.speed_m_per_s + speed_m_per_s) / 2 * MM_PER_NS
        if self._encoder is None or mean_mm_per_ns <= 0:
            return middle_ns, half_ns
        travel_mm = self._travel_mm(encoder_count, self._encoder)
        foreseen_ns = self._stamp_ns + int(travel_mm / mean_mm_per_ns)
        foreseen_slack_ns = self._slack_ns + int(SPEED_ERROR * abs(foreseen_ns - self._stamp_ns))
        if foreseen_slack_ns >= half_ns or not asked_ns <= foreseen_ns <= answered_ns:
            return middle_ns, half_ns
        return foreseen_ns, foreseen_slack_ns

    def silent(self) -> None:
        """There should have been a reading long ago."""
        self._watch.silent()

    def position_mm(self, now_ns: int) -> float:
        """The last reading carried forward at its speed."""
        return self._position_mm + self.speed_m_per_s * MM_PER_NS * (now_ns - self._stamp_ns)

    def certain_mm(self, now_ns: int) -> float:
        """The last reading."""
        return self._position_mm

    def trigger_position_mm(self, encoder_count: int, stamp_ns: int) -> float:
        """From the count latched at the trigger; from the time if the camera has another encoder or none."""
        self._watch.trigger(stamp_ns)
        expected_mm = self.position_mm(stamp_ns)
        if self._encoder is None or not self._latched:
            return expected_mm
        latched_mm = self._position_mm + self._travel_mm(encoder_count & U32_MASK, self._encoder)
        return latched_mm if abs(latched_mm - expected_mm) <= self._reach_mm(stamp_ns) else expected_mm

    def _travel_mm(self, count: int, since: int) -> float:
        return signed_distance(count, since) / self._settings.counts_per_mm

    def _reach_mm(self, at_ns: int) -> float:
        """How far the belt can be from where it is expected: it may have run at full speed or backwards since."""
        since_ns = max(0, at_ns - self._stamp_ns)
        return self._settings.max_m_per_s * MM_PER_NS * since_ns + ENCODER_JUMP_MM

    def encoder_count(self, position_mm: float) -> int | None:
        """Carried forward from the last reading."""
        if self._encoder is None or not self._plc_counts:
            return None
        travel_counts = (position_mm - self._position_mm) * self._settings.counts_per_mm
        return (self._encoder + round(travel_counts)) & U32_MASK
