"""What the clocks say, and what must have happened to them since a process last looked."""

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

CLOCK_STEP_NS = 500_000_000
"""Drift and slewing stay far below this between two looks of a running process."""
_SLEW = 500e-6
"""Of the time that passed: as fast as the kernel lets NTP turn a clock without stepping it (adjtimex(2))."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Moment:
    """Monotonic times are comparable within one boot only."""

    boot_id: str
    wall_ns: int
    monotonic_ns: int

    @classmethod
    def now(cls) -> "Moment":
        """Of this machine; no boot id where the kernel does not tell it."""
        return cls(_boot_id(), time.time_ns(), time.monotonic_ns())

    @property
    def offset_ns(self) -> int:
        """Wall clock minus monotonic."""
        return self.wall_ns - self.monotonic_ns


def passed(before: Moment, now: Moment) -> list[tuple[str, str]]:
    """(kind, text) of events while nobody wrote. A step forwards over a restart of the machine cannot be told."""
    if not before.boot_id or not now.boot_id:
        return []
    last = f"written last at {iso(before.wall_ns)}"
    found = []
    back_ns = before.wall_ns - now.wall_ns
    if before.boot_id != now.boot_id:
        found.append(("boot", f"the machine was started again; {last}"))
        step = f"back by at least {back_ns / 1e9:.3f} s" if back_ns > 0 else ""
    else:
        step_ns = now.offset_ns - before.offset_ns
        allowed_ns = CLOCK_STEP_NS + _SLEW * max(now.monotonic_ns - before.monotonic_ns, 0)
        step = f"by {step_ns / 1e9:+.3f} s" if abs(step_ns) >= allowed_ns else ""
    if step:
        text = f"the wall clock stepped {step} while nobody wrote; {last}; parts after that are timed by the new one"
        found.append(("clock_step", text))
    return found


def iso(wall_ns: int) -> str:
    """UTC, to the millisecond."""
    return datetime.fromtimestamp(wall_ns / 1e9, timezone.utc).isoformat(timespec="milliseconds")


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
