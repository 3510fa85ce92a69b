"""What happens to the loop's thread while parts pass: sampled from /proc and /sys, a few numbers 20 times a second."""

import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, fields
from pathlib import Path

from edge.profile.report import Machine


@dataclass(frozen=True)
class Sample:
    """Counters that only rise, and what is read as it stands."""

    at_ns: int
    page_faults: int
    major_page_faults: int
    voluntary: int
    involuntary: int
    waited_ns: int
    """For a processor, though ready to run."""
    interrupts: int
    temperature_c: float | None
    mhz: float | None


COUNTERS = ("page_faults", "major_page_faults", "voluntary", "involuntary", "waited_ns", "interrupts")
assert set(COUNTERS) < {field.name for field in fields(Sample)}


class MachineWatch:
    """Bounded: at 20 Hz an hour is 72,000 samples; the oldest half goes beyond that."""

    LIMIT = 144_000

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self.samples: list[Sample] = []

    def sample(self, pid: int) -> None:
        """Of the busiest thread of a process, which is the loop. A process that has gone is left out."""
        thread = self._loop_thread(pid)
        if thread is None:
            return
        try:
            found = self._read(thread)
        except (OSError, ValueError, IndexError):
            return
        self.samples.append(found)
        if len(self.samples) > self.LIMIT:
            del self.samples[: self.LIMIT // 2]

    def _loop_thread(self, pid: int) -> Path | None:
        """The one of highest real-time priority; where nobody has one, the busiest."""
        best: tuple[int, int] = (-1, -1)
        found = None
        for thread in (self._root / f"proc/{pid}/task").glob("*"):
            try:
                stat = _stat(thread)
            except (OSError, ValueError, IndexError):
                continue
            rank = (int(stat[37]), int(stat[11]) + int(stat[12]))
            if rank > best:
                best, found = rank, thread
        return found

    def _read(self, thread: Path) -> Sample:
        stat = _stat(thread)
        switches = dict(
            line.split(":", 1)
            for line in (thread / "status").read_text(encoding="ascii", errors="replace").splitlines()
        )
        waited_ns = int((thread / "schedstat").read_text(encoding="ascii").split()[1])
        kernel = (self._root / "proc/stat").read_text(encoding="ascii")
        interrupts = next(int(line.split()[1]) for line in kernel.splitlines() if line.startswith("intr "))
        return Sample(
            at_ns=time.monotonic_ns(),
            page_faults=int(stat[7]),
            major_page_faults=int(stat[9]),
            voluntary=int(switches["voluntary_ctxt_switches"]),
            involuntary=int(switches["nonvoluntary_ctxt_switches"]),
            waited_ns=waited_ns,
            interrupts=interrupts,
            temperature_c=self._extreme("sys/class/thermal/thermal_zone*/temp", 1000.0, highest=True),
            mhz=self._extreme("sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq", 1000.0, highest=False),
        )

    def _extreme(self, pattern: str, scale: float, *, highest: bool) -> float | None:
        values = []
        for path in self._root.glob(pattern):
            try:
                values.append(int(path.read_text(encoding="ascii")) / scale)
            except (OSError, ValueError):
                continue
        return (max(values) if highest else min(values)) if values else None

    def around(self, from_ns: int, until_ns: int) -> tuple[Sample, Sample] | None:
        """The last sample before and the first after; None where one is missing."""
        times = [sample.at_ns for sample in self.samples]
        before, after = bisect_right(times, from_ns) - 1, bisect_left(times, until_ns)
        if before < 0 or after >= len(times):
            return None
        return self.samples[before], self.samples[after]

    def summary(self) -> Machine | None:
        """From the first sample to the last; None: fewer than two."""
        if len(self.samples) < 2:
            return None
        first, last = self.samples[0], self.samples[-1]
        seconds = (last.at_ns - first.at_ns) / 1e9
        grown = {name: getattr(last, name) - getattr(first, name) for name in COUNTERS}
        hot = [sample.temperature_c for sample in self.samples if sample.temperature_c is not None]
        clocks = [sample.mhz for sample in self.samples if sample.mhz is not None]
        return Machine(
            seconds=round(seconds, 2),
            page_faults=grown["page_faults"],
            major_page_faults=grown["major_page_faults"],
            voluntary_switches=grown["voluntary"],
            involuntary_switches=grown["involuntary"],
            waited_for_processor_ms=round(grown["waited_ns"] / 1e6, 3),
            interrupts_per_s=round(grown["interrupts"] / seconds, 1) if seconds else 0.0,
            hottest_c=max(hot) if hot else None,
            slowest_mhz=min(clocks) if clocks else None,
        )


def _stat(thread: Path) -> list[str]:
    """Fields of /proc/…/stat from the state on, which is field 3 of proc(5) and index 0 here."""
    text = (thread / "stat").read_text(encoding="ascii", errors="replace")
    return text[text.rindex(")") + 2 :].split()
