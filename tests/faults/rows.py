"""The fault matrix: one row, one fault, its counts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.bench import Counts, link_bench

FIRST, LAST = 10, 20
"""The parts between which a fault lasts."""


@dataclass(frozen=True)
class Row:
    """A fault, and what must have been seen for the row to mean anything."""

    name: str
    run: Callable[[Path], Counts]
    evidence: Callable[[Counts], bool]


def network(name: str, mode: str, evidence: Callable[[Counts], bool], last: int = LAST) -> Row:
    """A fault of the network from part FIRST to part ``last``."""

    def run(folder: Path) -> Counts:
        with link_bench(folder, mode) as bench:
            return bench.run({FIRST: lambda: bench.proxy.say(name), last: lambda: bench.proxy.say("pass")})

    return Row(f"{name.replace(' ', '_')}_{mode}", run, evidence)


def lost(counts: Counts) -> bool:
    """Verdicts went unconfirmed, the link came back, and afterwards parts passed again."""
    return counts.facts["unconfirmed"] > 0 and counts.facts["reconnects"] > 0 and counts.good_bin > 5


def refused(counts: Counts) -> bool:
    """Verdicts were refused on a living connection."""
    return counts.facts["unconfirmed"] > 0 and counts.good_bin > 5


def reconnected(counts: Counts) -> bool:
    """The link was lost and came back."""
    return counts.facts["reconnects"] > 0 and counts.good_bin > 5


def harmless(counts: Counts) -> bool:
    """Nothing had to be given up."""
    return counts.facts["unconfirmed"] <= 2 and counts.good_bin > 20


ROWS = [
    network("mute", "pulse", lost),
    network("mute", "tracked", lost),
    network("slow 5", "pulse", harmless),
    network("slow 20", "pulse", lost),
    network("slow 200", "pulse", lost),
    network("slow 20", "tracked", lost),
    network("wrong_transaction", "tracked", lost),
    network("wrong_unit", "tracked", lost),
    network("exception", "pulse", refused),
    network("refuse 32", "pulse", refused),
    network("refuse 32", "tracked", refused),
    network("junk", "tracked", lost),
    network("empty", "tracked", lost),
    network("split", "pulse", harmless),
    network("rst", "pulse", reconnected),
    network("reset_each", "pulse", reconnected),
    network("half_open", "pulse", lost),
    network("half_open", "tracked", lost),
    network("syn", "tracked", lost),
]
