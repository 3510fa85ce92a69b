"""``edge engines``: from an ONNX file to an engine that may run on a line."""

import typer

from engines.store.commands import app as store_app
from engines.tensorrt.commands import add_device_commands

app = typer.Typer(no_args_is_help=True, help="Engines: build, look into, measure, verify, store.")
app.add_typer(store_app, name="store")
add_device_commands(app)
