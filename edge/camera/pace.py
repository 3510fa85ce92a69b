"""When parts come that no trigger announces: one per pitch, at line speed."""

import logging

log = logging.getLogger(__name__)


class Pace:
    """Absolute times of paced parts, and the encoder of a belt at fixed speed. CLOCK_MONOTONIC ns."""

    def __init__(self, *, speed_m_per_s: float, counts_per_mm: float, pitch_mm: float | None) -> None:
        self._counts_per_ns = speed_m_per_s * 1e-6 * counts_per_mm
        self.interval_ns = 0 if pitch_mm is None else round(pitch_mm / speed_m_per_s * 1e6)
        self._next_ns = 0
        self._belt_start_ns = 0
        self._told = False

    def start(self, now_ns: int, shown: int) -> None:
        """The belt starts, or goes on where it was after ``shown`` parts; a second start changes nothing."""
        if not self._belt_start_ns:
            self._belt_start_ns = now_ns - shown * self.interval_ns
            self._next_ns = now_ns + self.interval_ns

    @property
    def next_ns(self) -> int:
        """When the next part is due."""
        return self._next_ns

    def shown(self, now_ns: int) -> None:
        """A part has been shown. One that is late by a whole pitch moves all that follow: no burst."""
        late_ns = now_ns - self._next_ns
        if self.interval_ns and late_ns >= self.interval_ns:
            self._next_ns = now_ns
            if not self._told:
                self._told = True
                log.warning(
                    "the camera was %.0f ms late with a part, more than a pitch (%.0f ms): parts come slower "
                    "than the line speed says",
                    late_ns / 1e6,
                    self.interval_ns / 1e6,
                )
        self._next_ns += self.interval_ns

    def encoder_count(self, now_ns: int) -> int:
        """Counts since the belt started: speed × time × counts per mm."""
        return int((now_ns - self._belt_start_ns) * self._counts_per_ns)
