"""What a step of the proof says: shown, failed, or not shown because something is missing here."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edge.errors import EdgeError
from engines.errors import DeviceError

State = Literal["shown", "failed", "not shown"]


class NotHereError(EdgeError):
    """Something that a step needs is not on this machine."""


@dataclass(frozen=True)
class Figure:
    """``reached``: None where nothing was promised."""

    name: str
    value: str
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True)
class Step:
    """``claim``: the sentence that is true where the step was shown."""

    name: str
    claim: str
    run: Callable[[], Sequence[Figure]]


@dataclass(frozen=True)
class Outcome:
    """Of one step."""

    name: str
    claim: str
    state: State
    why: str
    figures: tuple[Figure, ...]
    seconds: float


def run_step(step: Step, deadline: float) -> Outcome:
    """``deadline``: of ``time.monotonic``; what has not begun by then is not shown. A missed target is a failure."""
    began = time.monotonic()

    def outcome(state: State, why: str, figures: Sequence[Figure] = ()) -> Outcome:
        return Outcome(step.name, step.claim, state, why, tuple(figures), time.monotonic() - began)

    if began > deadline:
        return outcome("not shown", "the time was over: give more --minutes")
    try:
        figures = step.run()
    except (NotHereError, DeviceError) as error:
        return outcome("not shown", str(error))
    except Exception as error:  # a proof must go on and tell what broke
        return outcome("failed", f"{type(error).__name__}: {error}")
    missed = [figure.name for figure in figures if figure.reached is False]
    return outcome("failed" if missed else "shown", f"missed: {', '.join(missed)}" if missed else "", figures)


def percentiles_us(times_ns: Sequence[int]) -> tuple[float, float, float]:
    """p50, p99 and the largest, in µs. Raises RuntimeError: a run that failed or was late."""
    if not times_ns or min(times_ns) < 0:
        raise RuntimeError(
            f"{sum(time < 0 for time in times_ns)} of {len(times_ns)} launches failed or were late"
        )
    ordered = sorted(times_ns)
    return ordered[len(ordered) // 2] / 1e3, ordered[int(len(ordered) * 0.99)] / 1e3, ordered[-1] / 1e3


class BusyPython:
    """A thread that never gives the GIL away by itself."""

    def __enter__(self) -> "BusyPython":
        self.turns, self._stop = 0, False
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()

    def _turn(self) -> None:
        while not self._stop:
            self.turns += 1
