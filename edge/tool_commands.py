"""Commands of the workstation side: started as a process of ``tools``, which the runtime never imports."""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import typer

from edge.errors import EdgeError

_TOOLS = {
    "evaluate": (
        "tools.evaluate",
        "How good and fast gate, classifier and routing are, on parts nobody has seen.",
    ),
    "calibrate": ("tools.calibrate", "Calibrate scores and thresholds, with a certificate."),
}
_ALL_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_tool_commands(app: typer.Typer) -> None:
    """Adds one command for each tool; its arguments, --help too, are the tool's own."""
    for name, (module, text) in _TOOLS.items():
        app.command(name, help=text, context_settings=dict(_ALL_ARGUMENTS))(_starter(module))


def _starter(module: str) -> Callable[[typer.Context], None]:
    def start(context: typer.Context) -> None:
        if find_spec(module.partition(".")[0]) is None:
            raise EdgeError(f"{module} is not installed here; expected a workstation with the whole package")
        raise typer.Exit(subprocess.call([sys.executable, "-m", module, *context.args]))

    return start
