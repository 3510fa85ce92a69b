"""``python -m tools.twin camera|gige|line|plc|sheet|shown``: one process of the twin each, its own module alone."""

import sys
from collections.abc import Callable


def _camera(arguments: list[str]) -> int:
    from tools.twin import camera

    return camera.main(arguments)


def _gige(arguments: list[str]) -> int:
    from tools.twin.gige import camera

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


def _shown(arguments: list[str]) -> int:
    from tools.twin import shown

    return shown.main(arguments)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "camera": _camera,
    "gige": _gige,
    "line": _line,
    "plc": _plc,
    "sheet": _sheet,
    "shown": _shown,
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
