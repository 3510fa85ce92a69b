"""A light controller on a pseudo-terminal: ``python -m tools.twin.light``; it prints its device and every change."""

import argparse
import os
import re
import sys
import tty
from collections.abc import Sequence
from pathlib import Path

ENDING = b"\r\n"
CHANNELS = 4
HIGHEST = {"I": 255, "W": 10_000}


class LightTwin:
    """Intensity 0..255 and strobe width 0..10,000 µs of four channels; anything else is answered with ``ERR``."""

    def __init__(self) -> None:
        self.values = {(what, channel): 0 for what in HIGHEST for channel in range(1, CHANNELS + 1)}

    def answer(self, request: str) -> str:
        """One line for one line."""
        found = re.fullmatch(r"([IW])(\d)(?:=(\d+)|\?)", request)
        if found is None or (found[1], int(found[2])) not in self.values:
            return "ERR request"
        key = found[1], int(found[2])
        if found[3] is None:
            return str(self.values[key])
        if int(found[3]) > HIGHEST[found[1]]:
            return "ERR range"
        self.values[key] = int(found[3])
        print(f"{request}", flush=True)
        return "OK"


def main(argv: Sequence[str]) -> int:
    """Serves until its parent closes standard input, or it is killed."""
    parser = argparse.ArgumentParser(prog="tools.twin.light", description=__doc__)
    parser.add_argument(
        "--link", help="also reachable under this path, as a USB adapter is under /dev/serial"
    )
    link = parser.parse_args(argv).link
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    if link:
        Path(link).symlink_to(os.ttyname(theirs))
    print(os.ttyname(theirs), flush=True)
    twin, buffer = LightTwin(), b""
    while data := os.read(ours, 256):  # the other end stays open here: a host may come and go
        buffer += data
        while ENDING in buffer:
            request, _, buffer = buffer.partition(ENDING)
            os.write(ours, twin.answer(request.decode("ascii", errors="replace")).encode() + ENDING)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
