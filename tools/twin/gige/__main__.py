"""``python -m tools.twin.gige [ADDRESS]``: the twin's GigE Vision device alone, to try ``edge camera`` on.

Shows flat pictures until Ctrl-C or the end of its input. Each line of input is a command of device.c: ``loss 5``,
``unplug 700``, ``light 400``.
"""

import sys

from edge.errors import TwinError
from tools.twin.gige.program import INTERFACE, SERIAL, GigeDevice


def main(arguments: list[str]) -> int:
    """Runs it."""
    address = arguments[0] if arguments else INTERFACE
    try:
        device = GigeDevice(interface=address)
    except TwinError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"camera {SERIAL} on {address}; Ctrl-C ends it", flush=True)
    try:
        for line in sys.stdin:
            try:
                print(device.ask(line.strip()), flush=True)
            except TwinError as error:
                print(error, flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        device.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
