"""``edge install`` and ``edge uninstall``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.config import load_line
from edge.service.install import install as put
from edge.service.install import plan
from edge.service.install import uninstall as remove
from edge.service.prepare import drives_a_real_line
from edge.service.unit_files import line_file, reachable, units

Root = Annotated[Path, typer.Option("--root", help="Stage below this folder.", metavar="DIR")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show every file and change nothing.")]


def install(
    line: Annotated[Path, typer.Argument(help="Line file.", metavar="LINE.yaml")],
    root: Root = Path("/"),
    dry_run: DryRun = False,
) -> None:
    """Make a line a service that starts with the machine."""
    target, edge = line_file(line), Path(sys.prefix) / "bin" / "edge"
    steps = plan(root.resolve(), [*units(edge), target])
    if dry_run:  # all that it would do, then what it would be refused for
        for step in steps:
            print(f"{step.action:8s} /{step.file.path}")
            print(step.diff(), end="")
    drives_a_real_line(line, load_line(line))
    reachable(edge)
    if dry_run:
        return
    put(root.resolve(), target.path.stem, steps, print)
    print(f"start it: systemctl start edge@{target.path.stem}.target")


def uninstall(root: Root = Path("/"), dry_run: DryRun = False) -> None:
    """Stop all lines and remove exactly what edge install put; a file changed by hand stays."""
    kept = remove(root.resolve(), print, dry_run=dry_run)
    if kept:
        print(f"{len(kept)} changed by hand, yours to remove: {', '.join('/' + name for name in kept)}")
