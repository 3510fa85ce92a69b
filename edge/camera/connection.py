"""The life of the connection to a camera, the same for every kind: a table of states, driven by one thread."""

import enum
import logging
from collections.abc import Callable

from edge._core import now_ns
from edge.backoff import BackOff
from edge.camera.aside import Aside
from edge.camera.base import Camera
from edge.errors import CameraError, CameraHungError

log = logging.getLogger(__name__)

LONGEST_PAUSE_MS = 1000.0
HUNG_NS = 15_000_000_000
"""Opening and closing take seconds on some devices; beyond this only a new process helps."""


class State(enum.Enum):
    """Frames are taken in PROVING and LIVE only."""

    OPENING = "opening"
    PROVING = "open, no frame yet"
    LIVE = "frames come"
    CLOSING = "closing"
    PAUSING = "waiting for the next attempt"


class Event(enum.Enum):
    """What moves the state."""

    OPENED = enum.auto()
    FAILED = enum.auto()
    FRAME = enum.auto()
    LOST = enum.auto()
    CLOSED = enum.auto()
    DUE = enum.auto()


TRANSITIONS = {
    (State.OPENING, Event.OPENED): State.PROVING,
    (State.OPENING, Event.FAILED): State.CLOSING,  # half of it may be open
    (State.PROVING, Event.FRAME): State.LIVE,
    (State.PROVING, Event.LOST): State.CLOSING,
    (State.LIVE, Event.FRAME): State.LIVE,
    (State.LIVE, Event.LOST): State.CLOSING,
    (State.CLOSING, Event.CLOSED): State.PAUSING,
    (State.PAUSING, Event.DUE): State.OPENING,
}
OPEN = (State.PROVING, State.LIVE)


class Connection:
    """Opens, proves, gives up and opens again, without end; never blocks the one who calls ``step``."""

    def __init__(self, camera: Camera, shown: Callable[[], int]) -> None:
        self._camera = camera
        self._shown = shown
        self._aside = Aside()
        self._back_off = BackOff(LONGEST_PAUSE_MS)
        self._since_ns = now_ns()
        self._told = False
        self._lost_in_silence = False
        self.opened_ns = self._began_ns = 0
        """When opening began: what was exposed before belongs to an earlier connection."""
        self.generation = 0
        """Times that the camera was opened."""
        self.state = State.OPENING
        self._start(self._open)

    @property
    def is_open(self) -> bool:
        """Whether frames may be taken."""
        return self.state in OPEN

    @property
    def ready(self) -> bool:
        """Whether the line may count on it. A free-running camera that fell silent proves itself with a frame first;
        one that waits for triggers cannot."""
        return self.state is State.LIVE or (self.state is State.PROVING and not self._lost_in_silence)

    def step(self, now: int) -> None:
        """Moves on where there is something to move on. Raises CameraHungError when opening or closing never ends."""
        if self.state is State.OPENING and self._aside.done:
            self._opened(now)
        elif self.state is State.CLOSING and self._aside.done:
            failure = self._aside.failure()
            if failure:
                log.warning("%s", failure)
            self._back_off.lost(now)
            self._move(Event.CLOSED, now)
        elif self.state is State.PAUSING and now >= self._back_off.due_ns:
            self._move(Event.DUE, now)
            self._start(self._open)
        elif self.state in (State.OPENING, State.CLOSING) and now - self._since_ns > HUNG_NS:
            raise CameraHungError(
                f"the camera has been {self.state.value} for {HUNG_NS / 1e9:.0f} s and does not come back; its process "
                "is started anew"
            )

    def lost(self, reason: str, now: int, *, silent: bool = False) -> None:
        """The source has gone: whatever it holds is given up beside the path."""
        log.warning("%s; reconnecting", reason)
        self._lost_in_silence = silent
        self._move(Event.LOST, now)
        self._start(self._camera.close)

    def frame(self, now: int) -> None:
        """A frame of this connection has come."""
        if self.state is State.PROVING:
            self._back_off.reset()
            self._lost_in_silence = False
        self._move(Event.FRAME, now)

    def wait(self, timeout_s: float) -> None:
        """Until opening or closing has ended, at most the time-out."""
        self._aside.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """At the end: gives the device back, for as long as that may take and no longer."""
        if self._aside.wait(timeout_s):
            self._start(self._camera.close)
            if not self._aside.wait(timeout_s):
                log.warning(
                    "the camera does not close within %g s; it is left to the end of the process", timeout_s
                )

    def _open(self) -> None:
        self._began_ns = now_ns()
        self._camera.open(self._shown())

    def _opened(self, now: int) -> None:
        failure: CameraError | None = self._aside.failure()
        if failure is None:
            self.opened_ns = self._began_ns
            self.generation += 1
            self._told = False
            self._move(Event.OPENED, now)
            return
        if not self._told:
            self._told = True
            log.warning("%s; trying again", failure)
        self._move(Event.FAILED, now)
        self._start(self._camera.close)

    def _start(self, job: Callable[[], None]) -> None:
        self._since_ns = now_ns()
        self._aside.start(job)

    def _move(self, event: Event, now: int) -> None:
        new = TRANSITIONS[self.state, event]
        if new is not self.state:
            log.debug("camera: %s → %s (%s)", self.state.value, new.value, event.name)
            self._since_ns = now
        self.state = new
