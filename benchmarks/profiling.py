"""What profiling that never stops costs: ``python -m benchmarks.profiling [--parts N] [--json FILE]``.

One run of the demo line with its continuous profile and telemetry. The process that keeps them is stopped and let go on
in turns of two seconds (SIGSTOP, SIGCONT): both sides see the same engines, the same parts and the same neighbours.
What waited while it was stopped it makes up for when it goes on: the cost is rather over- than underestimated.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared import demo_line, tell
from edge._core import now_ns
from edge.line import Line, RunningLine, RunOptions, TwinRequest
from edge.profile.stages import latency_ns

TURN_NS = 2_000_000_000
EDGE_NS = 100_000_000
"""Parts so near to a change of sides belong to neither."""
WARM_PARTS = 50
BOOTSTRAPS = 1000
PROFILED = {"live_profile": True, "telemetry": True}

Pairs = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Latencies, ns, of neighbouring turns: (on, off)."""


@dataclass
class Turns:
    """When the process ran: at each of ``times_ns`` the side changed, to on first."""

    times_ns: list[int] = field(default_factory=list)

    def side(self, at_ns: int) -> tuple[int, bool] | None:
        """(number of the turn, on); None: too near to a change."""
        number = bisect_right(self.times_ns, at_ns) - 1
        if number < 0 or at_ns - self.times_ns[number] < EDGE_NS:
            return None
        if number + 1 < len(self.times_ns) and self.times_ns[number + 1] - at_ns < EDGE_NS:
            return None
        return number, number % 2 == 0


def run(folder: Path, parts: int, seed: int) -> tuple[list[tuple[int, int]], Turns, float]:
    """(received, latency) of each part in ns, the turns, and the share of a processor that the process took."""
    found: list[tuple[int, int]] = []
    turns, pids, used = Turns(), set[int](), [0.0, 0.0]

    def keep(batch: NDArray[np.void]) -> None:
        for record in batch:
            latency = latency_ns(record)
            if latency is not None:
                found.append((int(record["received_ns"]), latency))

    def tick(running: RunningLine) -> None:
        pid = running.pids.get("report")
        if pid is None or len(found) < WARM_PARTS:
            return
        used[1] = max(used[1], _processor_s(pid))
        pids.add(pid)
        if not turns.times_ns:
            used[0] = used[1]
            turns.times_ns.append(now_ns())
        elif len(found) >= parts - WARM_PARTS:
            if len(turns.times_ns) % 2 == 0:  # stopped, and the end of a line waits for it
                os.kill(pid, signal.SIGCONT)
                turns.times_ns.append(now_ns())
        elif now_ns() >= turns.times_ns[-1] + TURN_NS:
            os.kill(pid, signal.SIGSTOP if len(turns.times_ns) % 2 else signal.SIGCONT)
            turns.times_ns.append(now_ns())
        print(f"\r{len(found)} of {parts} parts", end="", file=sys.stderr, flush=True)

    options = RunOptions(twin=TwinRequest(parts=parts, seed=seed), on_records=keep)
    with Line(demo_line(folder, report=PROFILED), options, print) as line:
        try:
            line.run(tick)
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
    print(file=sys.stderr)
    if len(pids) != 1:
        raise SystemExit(f"the reporting process had {len(pids)} ids; expected one: see the run's log")
    seconds = (turns.times_ns[-1] - turns.times_ns[0]) / 1e9
    return found, turns, (used[1] - used[0]) / seconds


def figures(parts: list[tuple[int, int]], turns: Turns) -> dict[str, Any]:
    """Quantiles of both sides, ms, and their ratios; intervals hold 95 % of resampled pairs of turns."""
    by_turn: dict[int, list[int]] = {}
    for received_ns, latency in parts:
        place = turns.side(received_ns)
        if place is not None:
            by_turn.setdefault(place[0], []).append(latency)
    turn = {number: np.array(latencies, np.int64) for number, latencies in by_turn.items()}
    # Neighbours are compared, half of them on first and half off first: a drift cancels.
    pairs = [
        (turn[a], turn[b]) if a % 2 == 0 else (turn[b], turn[a])
        for a, b in pairwise(sorted(turn))
        if b == a + 1
    ]
    rng = np.random.default_rng(1)
    picks = [rng.integers(0, len(pairs), len(pairs)) for _ in range(BOOTSTRAPS)]
    on, off = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    report: dict[str, Any] = {"parts": {"on": len(on), "off": len(off)}, "pairs": len(pairs)}
    each = np.array([np.median(ran) / np.median(stood) for ran, stood in pairs])
    # A neighbour that works for ten seconds moves both sides of a pair; for a tail of its own a turn has too few parts.
    ratios: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "p50": lambda pick: float(np.median(each[pick])),
        "p99": lambda pick: _p99([pairs[i] for i in pick]),
    }
    for name, q in (("p50", 0.5), ("p99", 0.99)):
        drawn = [ratios[name](pick) for pick in picks]
        report[name] = {
            "on_ms": round(float(np.quantile(on, q)) / 1e6, 4),
            "off_ms": round(float(np.quantile(off, q)) / 1e6, 4),
            "ratio": round(ratios[name](np.arange(len(pairs))), 4),
            "interval": [round(float(value), 4) for value in np.quantile(drawn, (0.025, 0.975))],
        }
    return report


def _p99(pairs: Pairs) -> float:
    on, off = (np.quantile(np.concatenate([pair[side] for pair in pairs]), 0.99) for side in (0, 1))
    return float(on / off)


def _processor_s(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.profiling", description=__doc__)
    parser.add_argument("--parts", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts, turns, share = run(Path(folder), options.parts, options.seed)
    report = {
        "at": time.strftime("%Y-%m-%d %H:%M"),
        "load_1min": round(os.getloadavg()[0], 2),
        **figures(parts, turns),
        "processor_share": round(share, 4),
    }
    tell(report, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
