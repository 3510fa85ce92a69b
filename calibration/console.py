"""Progress of what takes longer than two seconds: a bar on a terminal, a line per step elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engines.console import progress


@contextmanager
def told() -> Iterator[Callable[[str, float], None]]:
    """``say(phase, share)``."""
    seen: set[str] = set()
    with progress() as bar:

        def say(phase: str, share: float) -> None:
            if sys.stdout.isatty():
                bar(phase, share)
            elif phase not in seen:
                seen.add(phase)
                print(f"… {phase}", flush=True)

        yield say
