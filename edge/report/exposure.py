"""Each change that auto-exposure makes, as an event of the journal."""

from collections.abc import Callable

from edge._core import LineStatus


class ExposureEvents:
    """A sink that reads no records; changes closer together than its ticks become one event."""

    def __init__(self, status: LineStatus, note: Callable[[str, str], None]) -> None:
        self._status = status
        self._note = note
        self._changes = status.camera_exposure_changes
        self._exposure_ns = status.camera_exposure_ns

    def add(self, _records: object) -> None:
        """Nothing."""

    def tick(self, _now_ns: int) -> None:
        """Notes what is new."""
        changes, exposure_ns = self._status.camera_exposure_changes, self._status.camera_exposure_ns
        if changes == self._changes:
            return
        before = f"{self._exposure_ns / 1e3:.1f} → " if self._exposure_ns else ""
        part = self._status.last_trigger_id
        self._note("exposure", f"{before}{exposure_ns / 1e3:.1f} µs by auto-exposure, about part {part}")
        self._changes, self._exposure_ns = changes, exposure_ns

    def close(self) -> None:
        """Nothing."""
