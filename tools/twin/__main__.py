"""``python -m tools.twin camera|line|plc|sheet``: one process of the twin each; only its own module is imported."""

import sys
from collections.abc import Callable


def _camera(arguments: list[str]) -> int:
    from tools.twin import camera

    return camera.main(arguments)


def _line(arguments: list[str]) -> int:
    from tools.twin import line

    return line.main(arguments)


def _plc(arguments: list[str]) -> int:
    from tools.twin import plc

    return plc.main(arguments)


def _sheet(arguments: list[str]) -> int:
    from tools.twin import sheet

    sys.argv = ["twin sheet", *arguments]
    sheet.main()
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "camera": _camera,
    "line": _line,
    "plc": _plc,
    "sheet": _sheet,
}


def main() -> int:
    """Hands the rest of the command line over."""
    command, *arguments = sys.argv[1:] or ["nothing"]
    if command not in COMMANDS:
        print(f"usage: python -m tools.twin {'|'.join(COMMANDS)} …; found {command!r}", file=sys.stderr)
        return 2
    return COMMANDS[command](arguments)


if __name__ == "__main__":
    sys.exit(main())
