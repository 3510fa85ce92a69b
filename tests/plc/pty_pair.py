"""Two serial lines that are one, by socat; the cable can be pulled and put back."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.need import need
from tests.plc.line_rig import until


class PtyPair:
    """``ours`` and ``theirs`` are device names that survive a pull."""

    def __init__(self, folder: Path) -> None:
        need("socat")
        self.ours, self.theirs = folder / "ours", folder / "theirs"
        self.put()

    def put(self) -> None:
        """The cable is there."""
        ends = [f"pty,raw,echo=0,link={end}" for end in (self.ours, self.theirs)]
        self._socat = subprocess.Popen(["socat", *ends], stderr=subprocess.DEVNULL)
        until(lambda: self.ours.exists() and self.theirs.exists())

    def pull(self) -> None:
        """Both devices go away, as with a USB adapter."""
        self._socat.terminate()
        self._socat.wait(5)


@contextmanager
def pty_pair(folder: Path) -> Iterator[PtyPair]:
    """A cable."""
    pair = PtyPair(folder)
    try:
        yield pair
    finally:
        pair.pull()
