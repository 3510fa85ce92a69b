"""A lesson beside the line: ``python -m benchmarks.lesson [--parts N] [--json FILE]``. Prints one JSON object.

The demo line runs; beside it ``edge calibrate new-defect`` teaches a scratch from ten pictures, again and again with
pauses: parts that came beside a lesson and alone are told apart. The tool runs as an engineer starts it, idle and with
its limit of memory, on the classifier that ships, into a store of its own.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared import demo_line, percentiles, tell
from edge._core import Reason, now_ns
from edge.line import Line, RunningLine, RunOptions, TwinRequest
from edge.profile.stages import latency_ns
from edge.report.collector import final_verdict
from engines.store.keys import KeyRing
from tools.calibrate.bench import twin_pictures, write_csv

NEW, SAMPLES, OLD = "scratch", 10, 2000
PAUSE_S = 30.0


@dataclass
class Lessons:
    """The tool, started over and over beside the line."""

    folder: Path
    priority: str
    spans_ns: list[list[int]] = field(default_factory=list)
    """Begin and end of each."""
    codes: list[int] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def tick(self) -> None:
        """Notes the end of a lesson, begins the next after a pause."""
        if self.process is not None:
            code = self.process.poll()
            if code is not None:
                self.spans_ns[-1].append(now_ns())
                self.codes.append(code)
                self.process = None
        elif not self.spans_ns or now_ns() > self.spans_ns[-1][1] + PAUSE_S * 1e9:
            self._begin()

    def end(self) -> None:
        """What still runs is stopped, as Ctrl-C would."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)  # edge, and the tool that it started
            self.process.wait()
            while _alive(self.process.pid):
                time.sleep(0.05)
            self.spans_ns[-1].append(now_ns())

    def side(self, at_ns: int) -> str:
        """Where a part belongs that came then."""
        beside = any(span[0] <= at_ns <= (span[1] if len(span) > 1 else at_ns) for span in self.spans_ns)
        return "beside" if beside else "alone"

    def _begin(self) -> None:
        number = len(self.spans_ns)
        self.spans_ns.append([now_ns()])
        command = [
            *(str(Path(sys.executable).with_name("edge")), "calibrate", "new-defect", NEW),
            *("--images", str(self.folder / "new"), "--data", str(self.folder / "old.csv")),
            *("--format", "bayer_rg8", "--engine", "shipped:classifier", "--why", "bench"),
            *("--priority", self.priority),
            *("--work", str(self.folder / f"lesson-{number}")),
        ]
        store = {"EDGE_STORE": str(self.folder / "store"), "EDGE_KEYS": str(self.folder / "keys")}
        with (self.folder / f"lesson-{number}.log").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | store,
                start_new_session=True,
            )


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def gathered(folder: Path) -> None:
    """Ten pictures of the new class, and old ones to replay."""
    options = SimpleNamespace(leave_out=NEW, samples=SAMPLES, seed=1)
    pictures = [p for p in twin_pictures(options, folder, _say) if p.split == "train"]
    (folder / "new").mkdir()
    for picture in [p for p in pictures if p.label == NEW][:SAMPLES]:
        (folder / "new" / picture.path.name).symlink_to(picture.path)
    write_csv(folder / "old.csv", [replace(p, split="") for p in pictures[:OLD] if p.label != NEW])
    KeyRing(folder / "keys").create()


def _say(what: str, share: float) -> None:
    print(f"\r{what} {100 * share:.0f} %", end="", file=sys.stderr, flush=True)


def run(folder: Path, parts: int, priority: str) -> dict[str, Any]:
    """Raises SystemExit: the tool could not do its work."""
    gathered(folder)
    lessons = Lessons(folder, priority)
    seen: list[tuple[int, int | None, Reason]] = []

    def keep(batch: NDArray[np.void]) -> None:
        for record in batch:
            seen.append((int(record["received_ns"]), latency_ns(record), final_verdict(record)[1]))

    def tick(running: RunningLine) -> None:
        if len(seen) > 50:
            lessons.tick()
        _say("parts", len(seen) / parts)

    options = RunOptions(twin=TwinRequest(parts=parts, seed=5), on_records=keep)
    with Line(demo_line(folder), options, lambda _text: None) as running:
        try:
            running.run(tick)
        finally:
            lessons.end()
    print(file=sys.stderr)
    if not lessons.codes:
        raise SystemExit(f"no lesson ended while {parts} parts passed; give more --parts")
    if any(code not in (0, 3) for code in lessons.codes):
        logs = sorted(folder.glob("lesson-*.log"))
        raise SystemExit(
            f"exit codes {lessons.codes}: expected 0 or 3\n{logs[-1].read_text() if logs else ''}"
        )
    return report(seen, lessons)


def report(seen: list[tuple[int, int | None, Reason]], lessons: Lessons) -> dict[str, Any]:
    """Both sides, and how the lessons went."""
    found: dict[str, Any] = {
        "lessons": len(lessons.codes),
        "active": lessons.codes.count(0),
        "seconds": [round((span[1] - span[0]) / 1e9, 1) for span in lessons.spans_ns[: len(lessons.codes)]],
    }
    for side in ("alone", "beside"):
        own = [one for one in seen if lessons.side(one[0]) == side]
        times_ms = [latency / 1e6 for _, latency, _ in own if latency is not None]
        reasons = Counter(reason.name.lower() for _, _, reason in own)
        found[side] = {
            "parts": len(own),
            "overruns": reasons["overrun"],
            "no_time": reasons["no_time"],
            "latency_ms": percentiles(times_ms, 0.5, 0.99, 0.999),
        }
    return found


def main() -> int:
    """Prints the report."""
    parser = argparse.ArgumentParser(prog="benchmarks.lesson", description=__doc__)
    parser.add_argument("--parts", type=int, default=3000)
    parser.add_argument("--priority", choices=("idle", "low"), default="idle", help="of the tool")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = {"at": time.strftime("%Y-%m-%d %H:%M"), **run(Path(folder), options.parts, options.priority)}
    tell(told, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
