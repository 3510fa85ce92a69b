"""``edge engines``: from an ONNX file to an engine that may run on a line."""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import typer

from engines.errors import EnginesError
from engines.store.commands import app as store_app
from engines.tensorrt.commands import add_device_commands

_WORKSTATION = "tools.quantise"
_COMMANDS = {
    "plan": "Measure every layer's sensitivity to INT8 and propose a precision plan.",
    "calibrate": "Calibrate on pictures; write scales, TensorRT's cache and both INT8 graphs.",
    "report": "Measure what INT8 costs and wins, with and without exposure samples.",
}
_ALL_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(
    no_args_is_help=True, help="Engines: plan, calibrate, build, look into, measure, verify, store."
)


def _starter(name: str) -> Callable[[typer.Context], None]:
    """These need pictures, and so the workstation side, which no engine imports: a process of its own."""

    def start(context: typer.Context) -> None:
        if find_spec(_WORKSTATION.partition(".")[0]) is None:
            raise EnginesError(
                f"edge engines {name}: {_WORKSTATION} is not installed here; expected a workstation with all packages"
            )
        raise typer.Exit(subprocess.call([sys.executable, "-m", _WORKSTATION, name, *context.args]))

    return start


for _name, _text in _COMMANDS.items():
    app.command(_name, help=_text, context_settings=dict(_ALL_ARGUMENTS))(_starter(_name))
app.add_typer(store_app, name="store")
add_device_commands(app)
