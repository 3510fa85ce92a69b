"""How much memory a graph takes on the line: a process of its own loads and runs it."""

from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tools.measure import open_session

_RUNS = 5


def session_mib(graph: Path) -> float:
    """Growth of the resident set of a fresh process from before the graph is loaded until it has run."""
    with get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_grown_mib, (str(graph),)))


def _grown_mib(graph: str) -> float:
    before = _resident_kib()
    session = open_session(Path(graph))
    entry = session.get_inputs()[0]
    picture = np.zeros(entry.shape, np.float32)
    for _ in range(_RUNS):
        session.run(None, {entry.name: picture})
    return (_resident_kib() - before) / 1024


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0])
