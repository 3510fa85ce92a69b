"""How long a write to this PLC takes, and whether the budget of the line has room for it."""

import gc
import math
import random
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.table import Table

from edge._core import set_fifo_priority
from edge.plc.link import Link
from edge.plc.registers import PROTOCOL_VERSION, STATUS, encode
from edge.plc.settings import PlcSettings
from engines.whole_file import write_whole

FIFO_PRIORITY = 60
MEAN_PAUSE_S = 0.004
"""Pauses are random, so that the scan of the PLC is met at every phase."""
SETTLE_WRITES = 20
BAR = 48


class RoundTrips(BaseModel):
    """Milliseconds."""

    model_config = ConfigDict(extra="forbid")
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class Bucket(BaseModel):
    """Writes whose round trip was at least ``from_ms`` and less than ``to_ms``."""

    model_config = ConfigDict(extra="forbid")
    from_ms: float
    to_ms: float
    count: int


class LatencyReport(BaseModel):
    """What ``edge plc latency --report`` writes."""

    model_config = ConfigDict(extra="forbid")
    plc: str
    writes: int
    failed: int
    """Writes that were refused, lost or not answered within the time-out."""
    reconnects: int
    round_trip_ms: RoundTrips | None
    """None when no write was acknowledged."""
    histogram: list[Bucket]
    budget_ms: float
    inspection_ms: float
    """What is set aside for everything before the write."""
    allowance_ms: float
    """What is left for the write."""
    holds: bool
    """Every write was acknowledged, and 99.9 % of them within the allowance."""


def measure(link: Link, plc: PlcSettings, writes: int, tick: Callable[[int], None]) -> tuple[list[int], int]:
    """Round trips in ns of the acknowledged writes, and how many were not acknowledged.

    Writes the status block with READY = 0 and a heartbeat that does not change: the PLC sees no live runtime and
    holds its diverter on, as it did before.
    """
    values = {register.name: 0 for register in STATUS.registers} | {
        "protocol_version": PROTOCOL_VERSION,
        "heartbeat_period_ms": plc.heartbeat_period_ms,
    }
    words = encode(STATUS, values, plc.word_order)
    timeout_ns = int(plc.timeout_ms * 1e6)
    pause = random.Random(1)
    round_trips: list[int] = []
    failed = 0
    gc.collect()
    gc.disable()
    set_fifo_priority(FIFO_PRIORITY)
    for i in range(-SETTLE_WRITES, writes):
        while not link.is_open:
            link.service(time.monotonic_ns())
            time.sleep(0.0005)
        reply = link.write_registers(plc.status_base, words, time.monotonic_ns() + timeout_ns)
        if reply.acked and i >= 0:
            round_trips.append(reply.ack_ns - reply.sent_ns)
        failed += i >= 0 and not reply.acked
        if reply.acked:
            link.confirm()
        tick(max(0, i + 1))
        time.sleep(min(pause.expovariate(1 / MEAN_PAUSE_S), 10 * MEAN_PAUSE_S))
    gc.enable()
    return round_trips, failed


def judge(
    plc: str,
    round_trips: list[int],
    *,
    failed: int,
    reconnects: int,
    budget_ms: float,
    inspection_ms: float,
) -> LatencyReport:
    """The figures, and whether the budget has room for 999 of 1000 writes."""
    times_ms = sorted(value / 1e6 for value in round_trips)
    allowance_ms = budget_ms - inspection_ms
    figures = None
    if times_ms:
        p50, p90, p99, p999 = (quantile(times_ms, q) for q in (0.5, 0.9, 0.99, 0.999))
        figures = RoundTrips(p50=p50, p90=p90, p99=p99, p999=p999, max=times_ms[-1])
    return LatencyReport(
        plc=plc,
        writes=len(round_trips) + failed,
        failed=failed,
        reconnects=reconnects,
        round_trip_ms=figures,
        histogram=_histogram(times_ms),
        budget_ms=round(budget_ms, 6),
        inspection_ms=inspection_ms,
        allowance_ms=round(allowance_ms, 6),
        holds=figures is not None and failed == 0 and figures.p999 <= allowance_ms,
    )


def quantile(values: list[float], q: float) -> float:
    """The smallest of the sorted values that at least a share ``q`` does not exceed."""
    return round(values[min(len(values) - 1, max(0, math.ceil(q * len(values)) - 1))], 6)


def _histogram(times_ms: list[float]) -> list[Bucket]:
    """Buckets of equal ratio, five to a doubling; empty ones between full ones are kept."""
    if not times_ms:
        return []
    step = 2**0.2
    numbers = [math.floor(math.log(max(value, 1e-3), step)) for value in times_ms]
    counts = {number: 0 for number in range(numbers[0], numbers[-1] + 1)}
    for number in numbers:
        counts[number] += 1
    return [
        Bucket(from_ms=round(step**n, 6), to_ms=round(step ** (n + 1), 6), count=count)
        for n, count in counts.items()
    ]


def view(report: LatencyReport) -> Table:
    """The histogram; logarithmic bars, so that the one slow write in a thousand is seen."""
    table = Table(title=f"write → acknowledgement at {report.plc}", width=92, box=None)
    table.add_column("ms", justify="right")
    table.add_column("writes", justify="right")
    table.add_column("")
    most = max((bucket.count for bucket in report.histogram), default=1)
    for bucket in report.histogram:
        share = math.log1p(bucket.count) / math.log1p(most)
        style = "green" if bucket.to_ms <= report.allowance_ms else "red"
        table.add_row(
            f"{bucket.from_ms:8.3f} – {bucket.to_ms:8.3f}",
            str(bucket.count),
            f"[{style}]{'█' * math.ceil(share * BAR)}[/]",
        )
    return table


def words(report: LatencyReport) -> str:
    """The verdict in one sentence."""
    if report.round_trip_ms is None:
        return "the budget does not hold: no write was acknowledged"
    found = (
        f"p50 {report.round_trip_ms.p50:.3f} ms, p99 {report.round_trip_ms.p99:.3f} ms, "
        f"p99.9 {report.round_trip_ms.p999:.3f} ms, max {report.round_trip_ms.max:.3f} ms"
    )
    room = (
        f"budget {report.budget_ms:.1f} ms - inspection {report.inspection_ms:.1f} ms = "
        f"{report.allowance_ms:.1f} ms for the write"
    )
    if report.holds:
        return f"the budget holds: {found}; {room}"
    why = f"{report.failed} of {report.writes} writes failed; " if report.failed else ""
    return (
        f"the budget does not hold: {why}{found}; {room}. A PLC that answers once per scan adds its scan time: "
        "let it answer asynchronously, shorten its scan, or give the part more way (budget.cap_ms, window_mm)"
    )


def save(report: LatencyReport, path: Path) -> None:
    """Whole or not at all."""
    write_whole(path, report.model_dump_json(indent=2) + "\n")
