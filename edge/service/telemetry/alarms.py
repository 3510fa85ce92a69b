"""Looks at the clocks → alarms, each cause for itself: at its beginning, when it becomes worse, at its end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from edge.service.telemetry.reading import Cause, Reading
from edge.service.telemetry.timeline import Timeline

REST_NS = 5_000_000_000
"""A cause that comes back within this time is the same one: a step that comes and goes must not fill the journal."""


class Note(Protocol):
    """Keeps an event where parts are kept."""

    def __call__(self, kind: str, text: str, at_ns: int | None = None) -> None:
        """``at_ns``: when it was, by the monotonic clock; None: now."""


@dataclass
class _Told:
    severity: int
    last_ns: int
    """Of the last look that showed it."""
    over_ns: int | None = None
    """Of the first look since that did not."""


class Alarms:
    """``tell`` is told kind (throttled, unthrottled), text and when it was."""

    def __init__(self, tell: Callable[[str, str, int], None]) -> None:
        self._tell = tell
        self._told: dict[str, _Told] = {}
        self.timeline = Timeline()

    def look(self, reading: Reading) -> None:
        """A new reading."""
        now = reading.at_ns
        since = self.timeline.until_ns or now
        self.timeline.look(now, (cause.name for cause in reading.throttled))
        for cause in reading.throttled:
            self._stands(cause, now, since)
        for name in list(self._gone(now, {cause.name for cause in reading.throttled})):
            over = self._told.pop(name).over_ns or now
            self._tell("unthrottled", name, over)

    def _stands(self, cause: Cause, now_ns: int, since_ns: int) -> None:
        told = self._told.get(cause.name)
        if told is None or cause.severity > told.severity:
            # It began between two looks: from the first of them on it may have cost a part its time.
            self._tell("throttled", str(cause), since_ns if told is None else now_ns)
        severity = max(cause.severity, told.severity if told else 0)
        self._told[cause.name] = _Told(severity, now_ns)

    def _gone(self, now_ns: int, standing: set[str]) -> Iterator[str]:
        for name, told in self._told.items():
            if name in standing:
                continue
            told.over_ns = told.over_ns or now_ns
            if now_ns - told.last_ns >= REST_NS:
                yield name
