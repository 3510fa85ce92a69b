"""Each recipe that a watch took back, as an event of the journal."""

from collections.abc import Callable, Sequence

from edge._core import LineStatus


class TakenBackEvents:
    """A sink that reads no records. After a restart of its process it says again what holds."""

    def __init__(self, status: LineStatus, numbers: Sequence[int], note: Callable[[str, str], None]) -> None:
        """``numbers``: of the line's recipes, in the order of the bits of the status words."""
        self._status, self._numbers, self._note = status, numbers, note
        self._done = self._refused = 0

    def add(self, _records: object) -> None:
        """Nothing."""

    def tick(self, _now_ns: int) -> None:
        """Notes what is new."""
        done, refused = self._status.rolled_back, self._status.rollback_refused
        part = self._status.last_trigger_id
        for bit, number in enumerate(self._numbers):
            if (done & ~self._done) >> bit & 1:
                self._note(
                    "recipe",
                    f"{number} left its range and was taken back, about part {part}: the one before it judges",
                )
            if (refused & ~self._refused) >> bit & 1:
                self._note(
                    "recipe",
                    f"{number} left its range and cannot be taken back, about part {part}: the line is not ready",
                )
        self._done, self._refused = done, refused

    def close(self) -> None:
        """Nothing."""
