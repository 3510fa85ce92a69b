"""Resident memory of the line's processes over a run."""

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from edge.report.schema import ProcessMemory

_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
_PERIOD_S = 0.5


class MemoryWatch:
    """Samples every half second; bounded."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[float]] = {}
        self._next_s = 0.0

    def sample(self, pids: Mapping[str, int], seconds: float) -> None:
        """Reads /proc for each process; one that has gone is left out."""
        if seconds < self._next_s:
            return
        self._next_s = seconds + _PERIOD_S
        for name, pid in {**pids, "supervisor": os.getpid()}.items():
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            except OSError:
                continue
            self._samples.setdefault(name, deque(maxlen=20_000)).append(pages * _PAGE_MIB)

    def summary(self) -> dict[str, ProcessMemory]:
        """Medians of the second and the last quarter: the first one belongs to the start."""
        result = {}
        for name, samples in self._samples.items():
            values = list(samples)
            quarter = len(values) // 4
            if quarter:
                early, late = values[quarter : 2 * quarter], values[-quarter:]
                result[name] = ProcessMemory(early=round(median(early), 2), late=round(median(late), 2))
        return result
