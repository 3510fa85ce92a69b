"""The twin's belt: a speed profile with exact positions and times."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from edge.errors import TwinError

MAX_M_PER_S = 20.0


class SpeedProfile:
    """Belt speed over time: linear between the knots, constant before the first and after the last.

    ``knots`` are (seconds since the belt started, m/s). Positions are mm travelled since the start.
    """

    def __init__(self, knots: Sequence[tuple[float, float]]) -> None:
        if not knots:
            raise TwinError("a speed profile without a speed: expected at least one number in m/s")
        if knots[0][0] > 0:
            knots = [(0.0, knots[0][1]), *knots]
        self._times_s = [t for t, _ in knots]
        self._speeds_mm_per_s = [1000.0 * v for _, v in knots]
        self._positions_mm = [0.0]
        for (t0, v0), (t1, v1) in pairwise(knots):
            self._positions_mm.append(self._positions_mm[-1] + 500.0 * (v0 + v1) * (t1 - t0))

    @classmethod
    def parse(cls, text: str) -> "SpeedProfile":
        """``"1.2"`` (m/s) or ``"0:1.2,10:0.8,20:1.2"`` (seconds:m/s). Raises TwinError for anything else."""
        entries = text.split(",")
        if len(entries) == 1 and ":" not in text:
            return cls([(0.0, _speed(text, text))])
        knots: list[tuple[float, float]] = []
        for entry in entries:
            second, colon, speed = entry.partition(":")
            if not colon:
                raise TwinError(
                    f"speed profile {text!r}: {entry!r} has no colon; expected seconds:m/s as in 10:0.8"
                )
            knots.append((_second(second, text), _speed(speed, text)))
            if len(knots) > 1 and knots[-1][0] <= knots[-2][0]:
                raise TwinError(
                    f"speed profile {text!r}: {entry!r} comes after {knots[-2][0]:g} s; expected rising times"
                )
        return cls(knots)

    def speed_m_per_s(self, t_s: float) -> float:
        """Speed at a time; the first speed for times before the start."""
        i = bisect_right(self._times_s, t_s) - 1
        if i < 0:
            return self._speeds_mm_per_s[0] / 1000.0
        return (self._speeds_mm_per_s[i] + self._slope(i) * (t_s - self._times_s[i])) / 1000.0

    def position_mm(self, t_s: float) -> float:
        """Travel at a time; 0 before the start."""
        if t_s <= 0:
            return 0.0
        i = bisect_right(self._times_s, t_s) - 1
        dt = t_s - self._times_s[i]
        return self._positions_mm[i] + self._speeds_mm_per_s[i] * dt + 0.5 * self._slope(i) * dt * dt

    def time_at_s(self, position_mm: float) -> float:
        """The first time at which the belt has travelled so far; infinity when it stops before."""
        if position_mm <= 0:
            return 0.0
        i = bisect_left(self._positions_mm, position_mm) - 1
        dx, v0 = position_mm - self._positions_mm[i], self._speeds_mm_per_s[i]
        # The root of dx = v0 dt + a dt²/2 in the form that does not cancel for small a.
        divisor = v0 + math.sqrt(max(0.0, v0 * v0 + 2 * self._slope(i) * dx))
        return self._times_s[i] + 2 * dx / divisor if divisor > 0 else math.inf

    def _slope(self, i: int) -> float:
        """mm/s² after knot ``i``."""
        if i + 1 >= len(self._times_s):
            return 0.0
        dv = self._speeds_mm_per_s[i + 1] - self._speeds_mm_per_s[i]
        return dv / (self._times_s[i + 1] - self._times_s[i])


def _speed(text: str, profile: str) -> float:
    value = _number(text, profile)
    if not 0 <= value <= MAX_M_PER_S:
        raise TwinError(f"speed profile {profile!r}: {text!r} m/s; expected 0 to {MAX_M_PER_S:g} m/s")
    return value


def _second(text: str, profile: str) -> float:
    value = _number(text, profile)
    if not 0 <= value < math.inf:
        raise TwinError(f"speed profile {profile!r}: {text!r} s; expected seconds since the start, 0 or more")
    return value


def _number(text: str, profile: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise TwinError(
            f"speed profile {profile!r}: found {text!r} where a number was expected; "
            "write 1.2 (m/s) or 0:1.2,10:0.8 (seconds:m/s)"
        ) from None
