"""How the long jobs of the workstation end: with their report, or with one clear line."""

import json
import shlex
import sys
from collections.abc import Callable

from edge.errors import EdgeError
from engines.errors import EnginesError


def run_job(name: str, job: Callable[[], object], resume: str) -> None:
    """Prints what ``job`` returns as JSON. Errors that a user can mend end with their message and status 1.

    ``resume`` says with what the same command goes on after Ctrl-C.
    """
    try:
        report = job()
    except (EdgeError, EnginesError, OSError) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: stopped; start the same command again to go on {resume}")
    print(json.dumps(report, indent=2))


_OF_THIS_MACHINE = ("--work", "--out", "--cache", "--threads")


def repeatable(module: str) -> str:
    """The running command as others would type it: where this machine keeps its files does not belong there."""
    given, kept = iter(sys.argv[1:]), []
    for word in given:
        if word in _OF_THIS_MACHINE:
            next(given, None)
        else:
            kept.append(word)
    return shlex.join(["python", "-m", module, *kept])
