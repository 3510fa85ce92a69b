"""What may block for seconds (opening, closing a dead camera) is done on a thread beside the camera's path."""

import queue
import threading
from collections.abc import Callable

from edge.errors import CameraError


class Aside:
    """One job at a time on one thread that stays: devices that bind their children to a thread keep theirs."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue()
        self._done = threading.Event()
        self._done.set()
        self._error: BaseException | None = None
        threading.Thread(target=self._work, name="camera aside", daemon=True).start()

    def start(self, job: Callable[[], None]) -> None:
        """Begins a job; the one before must be done."""
        self._done.clear()
        self._error = None
        self._jobs.put(job)

    @property
    def done(self) -> bool:
        """Whether the last job has ended."""
        return self._done.is_set()

    def wait(self, timeout_s: float) -> bool:
        """True as soon as the last job has ended, at the latest after the time-out."""
        return self._done.wait(timeout_s)

    def failure(self) -> CameraError | None:
        """Why the last job failed; None: it did not. Anything but a CameraError is a bug and is raised again."""
        if self._error is None or isinstance(self._error, CameraError):
            return self._error
        raise self._error

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except BaseException as error:
                self._error = error
            self._done.set()
