"""``python -m tools.twin camera|line|plc|sheet``: one process of the twin each."""

import sys
from importlib import import_module

COMMANDS = ("camera", "line", "plc", "sheet")


def main() -> int:
    """Hands over to the module of the command; only that one is imported."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        found = repr(sys.argv[1]) if len(sys.argv) > 1 else "nothing"
        print(f"usage: python -m tools.twin {'|'.join(COMMANDS)} …; found {found}", file=sys.stderr)
        return 2
    command = sys.argv.pop(1)
    return int(import_module(f"tools.twin.{command}").main() or 0)


if __name__ == "__main__":
    sys.exit(main())
