"""Clocks of processors and GPU, and what holds them down."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.service.telemetry.reading import Cause
from edge.service.telemetry.sysfs import glob, number, text

DROP = 0.9
"""A limit below this share of what it was, or of what the hardware can do, is one."""
BUSY = 0.9
"""GPU load from which on its governor asks for all there is."""
RAMP_LOOKS = 2
"""Looks in a row with a busy GPU below its limit: one may fall into the governor's ramp."""
_KHZ, _HZ = 1e3, 1e6
"""Per MHz: cpufreq counts in kHz, devfreq in Hz."""


@dataclass
class Clock:
    """One clock that a governor sets between two limits."""

    name: str
    current: Path
    lowest: Path
    limit: Path
    highest: Path
    """What the hardware can do; several numbers: the largest."""
    scale: float
    _usual: float = field(default=0.0, init=False)
    _held: int = field(default=0, init=False)

    def mhz(self) -> float | None:
        """Now."""
        return number(self.current, self.scale)

    def standing(self) -> Iterator[Cause]:
        """A limit that was there at the first look."""
        highest = self._highest()
        if self._usual and highest and self._usual < DROP * highest:
            yield Cause(f"{self.name} limited", f"{self._usual:g} of {highest:g} MHz")

    def held(self, load: float | None = None) -> Iterator[Cause]:
        """A limit that came later; a clock below a floor that somebody set; a busy GPU that does not get its limit."""
        limit, now, lowest = (number(path, self.scale) for path in (self.limit, self.current, self.lowest))
        if limit is None:
            return
        self._usual = max(self._usual, limit)
        if limit < DROP * self._usual:
            detail = f"limit {limit:g} MHz, was {self._usual:g}"
            yield Cause(f"{self.name} lowered", detail, _tenths(limit, self._usual))
        if now is None:
            return
        locked = lowest == limit
        self._held = self._held + 1 if load is not None and load >= BUSY and now < DROP * limit else 0
        if (locked and 0 < now < DROP * limit) or self._held >= RAMP_LOOKS:
            yield Cause(f"{self.name} below its limit", f"{now:g} of {limit:g} MHz", _tenths(now, limit))

    def _highest(self) -> float | None:
        words = (text(self.highest) or "").split()
        try:
            return max((float(word) / self.scale for word in words), default=None)
        except ValueError:
            return None


class Clocks:
    """All of a machine. ``read`` first: what is held down is told against what was seen before."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._cpus = list(_processors(root))
        folder = next(iter(glob(root, "class/devfreq/*gpu*") or glob(root, "class/devfreq/*.ga10b")), None)
        self._gpu = _gpu(folder) if folder else None
        self._loads = [folder / "device/load"] if folder else []
        for pattern in ("devices/platform/*gpu*/load", "devices/platform/*/*gpu*/load", "devices/gpu.0/load"):
            self._loads += glob(root, pattern)
        self._over_current = glob(root, "class/hwmon/hwmon*/oc*_event_cnt")
        self._events: dict[Path, float] = {}
        self.held()

    def gpu_load(self) -> float | None:
        """0..1, of the busiest."""
        return max((load for path in self._loads if (load := number(path, 1e3)) is not None), default=None)

    def gpu_mhz(self) -> float | None:
        """Of the GPU's graphics clock."""
        return self._gpu.mhz() if self._gpu else None

    def cpu_mhz(self) -> float | None:
        """Of the slowest processor."""
        return min((mhz for clock in self._cpus if (mhz := clock.mhz()) is not None), default=None)

    def limits(self) -> tuple[Cause, ...]:
        """That stood at the first look."""
        clocks = [*self._cpus, self._gpu] if self._gpu else self._cpus
        return tuple(cause for clock in clocks for cause in clock.standing())

    def held(self) -> tuple[Cause, ...]:
        """What holds clocks down now; over-current events are told in the look that finds them counted."""
        found = [*_cooling(self._root), *self._over_currents()]
        for clock in self._cpus:
            found += clock.held()
        if self._gpu:
            found += self._gpu.held(self.gpu_load())
        return tuple(found)

    def _over_currents(self) -> Iterator[Cause]:
        for path in self._over_current:
            count, before = number(path), self._events.get(path)
            if count is None:
                continue
            self._events[path] = count
            if before is not None and count > before:
                yield Cause(
                    f"over-current {path.name.removesuffix('_event_cnt')}", f"{count - before:g} events"
                )


def _processors(root: Path) -> Iterator[Clock]:
    """One of each group whose clock is the same: there cpu*/cpufreq are links to one policy."""
    groups = {path.resolve(): path for path in reversed(glob(root, "devices/system/cpu/cpu[0-9]*/cpufreq"))}
    for path in reversed(groups.values()):
        yield Clock(
            path.parent.name,
            path / "scaling_cur_freq",
            path / "scaling_min_freq",
            path / "scaling_max_freq",
            path / "cpuinfo_max_freq",
            _KHZ,
        )


def _gpu(folder: Path) -> Clock:
    return Clock(
        "gpu",
        folder / "cur_freq",
        folder / "min_freq",
        folder / "max_freq",
        folder / "available_frequencies",
        _HZ,
    )


def _cooling(root: Path) -> Iterator[Cause]:
    for path in glob(root, "class/thermal/cooling_device*"):
        kind = text(path / "type") or ""
        step = number(path / "cur_state")
        if step and "fan" not in kind:
            yield Cause(f"cooling {kind}", f"step {step:g}", round(step))


def _tenths(now: float, usual: float) -> int:
    """How much is missing: 1 to 10."""
    return max(1, round(10 * (1 - now / usual)))
