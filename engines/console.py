"""How the commands of this package talk: tables, and progress of what takes longer than two seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

console = Console()
if not console.is_terminal:
    console = Console(width=120)  # a log file has no width of its own


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """A bar for every phase that is reported, with its share done, 0 to 1."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def say(phase: str, share: float) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=1.0)
            bars.update(tasks[phase], completed=share)

        yield say
