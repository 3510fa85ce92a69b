"""The PLC of plc.c as a process, its belt as a schedule of triggers, and what it says fell where."""

import csv
import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.peers.need import plc_program

GOOD, REJECT_BIN = 1, 2


@dataclass(frozen=True)
class Belt:
    """The belt of the PLC: v(t) = m_per_s * (1 + ramp * sin(2 pi t / ramp_s))."""

    parts: int = 40
    pitch_mm: float = 120.0
    lead_in_mm: float = 200.0
    m_per_s: float = 1.2
    ramp: float = 0.0
    ramp_s: float = 4.0
    distance_mm: float = 400.0
    encoder_start: int = 0
    counts_per_mm: float = 10.0

    def position_mm(self, t_s: float) -> float:
        """Travel since the start."""
        w = 2 * math.pi / self.ramp_s
        return 0.0 if t_s <= 0 else 1000 * self.m_per_s * (t_s + self.ramp / w * (1 - math.cos(w * t_s)))

    def time_at_s(self, position_mm: float) -> float:
        """When it has travelled so far; Newton, the PLC bisects."""
        t_s, w = position_mm / (1000 * self.m_per_s), 2 * math.pi / self.ramp_s
        for _ in range(50):
            speed = 1000 * self.m_per_s * (1 + self.ramp * math.sin(w * t_s))
            t_s -= (self.position_mm(t_s) - position_mm) / speed
        return t_s

    @property
    def options(self) -> list[str]:
        """For the command line of the PLC."""
        values = {
            "parts": self.parts,
            "pitch": self.pitch_mm,
            "lead-in": self.lead_in_mm,
            "speed": self.m_per_s,
            "ramp": self.ramp,
            "ramp-s": self.ramp_s,
            "distance": self.distance_mm,
            "encoder-start": self.encoder_start,
        }
        return [f"--{name}={value}" for name, value in values.items()]


@dataclass(frozen=True)
class PartFate:
    """One part as the PLC saw it; bin 0: it never reached the nozzle."""

    part_id: int
    position_mm: float
    crossing_ns: int
    verdict_ns: int
    records: int
    verdict: int
    late: int
    bin: int
    blown: int
    diverted: int


@dataclass(frozen=True)
class Fates:
    """What the PLC wrote at its end."""

    parts: list[PartFate]
    edges: list[tuple[int, bool, float]]
    """(time ns, coil on, belt position mm) of every change of the coil."""
    duplicates: int
    gaps: int
    torn: int
    jumps: int

    @classmethod
    def load(cls, path: Path) -> "Fates":
        """Reads the file of --out."""
        parts: list[PartFate] = []
        edges: list[tuple[int, bool, float]] = []
        summary: list[int] = []
        with path.open() as file:
            for kind, *row in csv.reader(file):
                if kind == "part":
                    parts.append(PartFate(int(row[0]), float(row[1]), *map(int, row[2:])))
                elif kind == "edge":
                    edges.append((int(row[0]), row[1] == "1", float(row[2])))
                else:
                    summary = [int(value) for value in row]
        return cls(parts, edges, *summary[1:5])

    def pulse_centres_mm(self) -> list[float]:
        """Belt position in the middle of every pulse, as seen at the coil."""
        ends = [(a[2], b[2]) for a, b in pairwise(self.edges) if a[1] and not b[1]]
        return [(begin + end) / 2 for begin, end in ends]


class LibmodbusPlc:
    """A running PLC; ``parts``, ``time_at_ns`` and ``encoder_count`` are what a rig needs of a belt."""

    def __init__(self, folder: Path, belt: Belt, *options: str, port: int = 0) -> None:
        self.belt = belt
        self.out = folder / "fates.csv"
        self._options = options
        self._start_ns = 0
        self.port = port
        self.start()

    def start(self) -> None:
        """Starts the process; with a port that was known before, on that one."""
        where = [] if any(option.startswith("--rtu") for option in self._options) else [f"--tcp={self.port}"]
        command = [str(plc_program()), *where, *self.belt.options, f"--out={self.out}", *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self._line().split("=")[1])

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the PLC has ended"
        return line

    @property
    def parts(self) -> list[dict[str, float]]:
        """In belt order; part id is index + 1."""
        return [
            {"position_mm": self.belt.lead_in_mm + i * self.belt.pitch_mm} for i in range(self.belt.parts)
        ]

    @property
    def start_ns(self) -> int:
        """Waits until the belt has been released."""
        if not self._start_ns:
            self._start_ns = int(self._line().split()[1])
        return self._start_ns

    def time_at_ns(self, position_mm: float) -> int:
        """When the belt is there."""
        return self.start_ns + round(self.belt.time_at_s(position_mm) * 1e9)

    def encoder_count(self, now_ns: int) -> int:
        """Unsigned 32 bit."""
        travel = int(self.belt.position_mm((now_ns - self.start_ns) / 1e9) * self.belt.counts_per_mm)
        return (self.belt.encoder_start + travel) & 0xFFFFFFFF

    def finish(self) -> Fates:
        """Ends it and reads what it saw."""
        self.process.terminate()
        assert self.process.wait(5) == 0
        return Fates.load(self.out)


@contextmanager
def libmodbus_plc(
    folder: Path, belt: Belt | None = None, *options: str, port: int = 0
) -> Iterator[LibmodbusPlc]:
    """A running PLC on libmodbus."""
    plc = LibmodbusPlc(folder, belt or Belt(), *options, port=port)
    try:
        yield plc
    finally:
        plc.process.kill()
        plc.process.wait()
