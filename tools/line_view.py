"""Draws the picture of the line view in the README: ``python -m tools.line_view [--parts N]``."""

import argparse
from pathlib import Path

from rich.console import Console

from edge.config import example_path, load_line
from edge.line import Line, RunningLine, RunOptions, TwinRequest, stop_on_signals
from edge.report.view import live_view

PICTURE = Path(__file__).parent.parent / "docs" / "line-view.svg"


def main() -> None:
    """Runs the demo and saves the view shortly before its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=400)
    options = parser.parse_args()
    drawn: list[bool] = []

    def tick(running: RunningLine) -> None:
        if running.collector.parts < options.parts - 40 or drawn:
            return
        console = Console(record=True, width=96)
        console.print(live_view(running, options.parts))
        console.save_svg(str(PICTURE), title="edge demo")
        drawn.append(True)
        line.ask_to_stop()

    with Line(load_line(example_path("demo.yaml")), RunOptions(TwinRequest(options.parts)), print) as line:
        stop_on_signals(line)
        line.run(tick)


if __name__ == "__main__":
    main()
