"""Commands of the workstation side: started as a process of ``tools``, which the runtime never imports."""

import os
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
    "calibrate": ("tools.calibrate", "Teach a new defect type; calibrate thresholds, with a certificate."),
}
_ON_DEVICE = {
    ("calibrate", what): "calibration"
    for what in ("new-defect", "collect", "queue", "relabel", "feed", "bank", "drift", "package")
}
"""Commands that need no workstation: started from the package of the line."""
_ON_DEVICE |= {("calibrate", what): "edge.shadow" for what in ("shadow", "watch")}
_ALL_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_tool_commands(app: typer.Typer) -> None:
    """Adds one command for each tool; its arguments, --help too, are the tool's own."""
    for name, (module, text) in _TOOLS.items():
        app.command(name, help=text, context_settings=dict(_ALL_ARGUMENTS))(_starter(name, module))


def _starter(name: str, usual: str) -> Callable[[typer.Context], None]:
    def start(context: typer.Context) -> None:
        module = _ON_DEVICE.get((name, context.args[0] if context.args else ""), usual)
        if find_spec(module.partition(".")[0]) is None:
            raise EdgeError(f"{module} is not installed here; expected a workstation with the whole package")
        # Read once, when numpy is loaded. On a busy machine threads of BLAS wait for each other: five times as slow.
        one_thread = {"OMP_NUM_THREADS": "1", **os.environ}
        raise typer.Exit(subprocess.call([sys.executable, "-m", module, *context.args], env=one_thread))

    return start
