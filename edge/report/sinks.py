"""Where finished part records go in the reporting process."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger("edge.report")


class Sink(Protocol):
    """One destination. What it raises is its own trouble: the others go on."""

    def add(self, records: NDArray[np.void]) -> None:
        """Finished part records (PART_RECORD_DTYPE), soon after the part."""

    def tick(self, now_ns: int) -> None:
        """At 20 Hz."""

    def close(self) -> None:
        """The line ends."""


@dataclass
class Guarded:
    """A sink that may fail: counted, and told of once for each kind of trouble."""

    name: str
    sink: Sink
    failures: int = 0
    _told: set[str] = field(default_factory=set)

    def add(self, records: NDArray[np.void]) -> None:
        """As the sink does."""
        self._try(lambda: self.sink.add(records))

    def tick(self, now_ns: int) -> None:
        """As the sink does."""
        self._try(lambda: self.sink.tick(now_ns))

    def close(self) -> None:
        """As the sink does."""
        self._try(self.sink.close)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self.failures += 1
            text = f"{type(error).__name__}: {error}"
            if (
                text not in self._told and len(self._told) < 20
            ):  # a message that changes each time must not fill the log
                self._told.add(text)
                log.exception("%s: %s", self.name, text)
