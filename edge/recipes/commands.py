"""``edge recipe``: what this machine can judge, by whom it was signed, and which is active."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from edge.inspection.certificate import describe
from edge.recipes import archive
from edge.recipes.bundle import ROLES
from edge.recipes.difference import differences
from edge.recipes.store import RecipeStore

app = typer.Typer(
    no_args_is_help=True, help="Recipes: signed bundles of engines, thresholds, rules and limits."
)

Text = Annotated[
    str, typer.Argument(help="Name of an active recipe, or an id, or its beginning.", metavar="ID")
]
Why = Annotated[str, typer.Option(help="For the audit log.")]
console = Console()
if not console.is_terminal:
    console = Console(width=130)


@app.command("list")
def list_recipes() -> None:
    """Show every recipe, its certificate, and which are active."""
    store = RecipeStore()
    table = Table(title=str(store.root))
    for title in ("active", "id", "engines", "certificate", "made", "by", "why"):
        table.add_column(title, overflow="fold")
    for item in store.entries():
        bundle = item.bundle
        table.add_row(
            "●" if store.active_id(bundle.name) == item.id else "",
            item.id,
            " + ".join(role for role in ROLES if role in bundle.engines),
            item.certificate_state,
            f"{bundle.created:%Y-%m-%d %H:%M}",
            bundle.made_by,
            bundle.why,
        )
    console.print(table)


@app.command()
def show(identity: Text) -> None:
    """Show what a recipe decides with, after its signature and files were checked."""
    store = RecipeStore()
    stored = store.find(identity)
    recipe = stored.recipe
    table = Table(title=stored.id, show_header=False)
    table.add_row(
        "made", f"{stored.bundle.created:%Y-%m-%d %H:%M} by {stored.bundle.made_by} {stored.bundle.why}"
    )
    table.add_row("active", "yes" if store.active_id(stored.bundle.name) == stored.id else "no")
    for role, digest in stored.bundle.engines.items():
        table.add_row(role, f"SHA-256 {digest[:16]}…")
    table.add_row("region of interest", str(recipe.roi.model_dump() if recipe.roi else "whole frame"))
    table.add_row(
        "exposure", ", ".join(f"{key} {value:g}" for key, value in recipe.exposure.model_dump().items())
    )
    for step in recipe.routing:
        limits = step.model_dump(exclude={"expected", "up_to_m_per_s"}, exclude_none=True)
        table.add_row(f"up to {step.up_to_m_per_s:g} m/s", ", ".join(f"{k} {v:g}" for k, v in limits.items()))
    for rule in recipe.rules.steps:
        table.add_row("rule", f"{rule.defect} {rule.zone or 'anywhere'} → {rule.action}, bin {rule.bin}")
    said = f": {describe(recipe.certificate)}" if recipe.certificate else ""
    table.add_row("certificate", f"{stored.certificate_state}{said}")
    console.print(table)


@app.command()
def diff(before: Text, after: Text) -> None:
    """Show what differs between two recipes; exit code 1: something does."""
    store = RecipeStore()
    first, second = store.find(before), store.find(after)
    rows = differences(first, second)
    if not rows:
        console.print("no difference")
        return
    table = Table("key", first.id, second.id)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    raise typer.Exit(1)


@app.command()
def make(
    line: Annotated[Path, typer.Argument(help="Line file that the product runs with.", metavar="LINE.yaml")],
    name: Annotated[str, typer.Argument(help="Name of the recipe.", metavar="NAME")],
    why: Why = "",
) -> None:
    """Sign engines, thresholds, rules, region and exposure limits of a line file as one recipe."""
    from edge.config import load_line
    from edge.recipes.make import bundle_files

    engines, files = bundle_files(load_line(line))
    stored = RecipeStore().make(name, engines, files, why)
    console.print(f"stored {stored.id}: certificate {stored.certificate_state}")
    console.print(f"not active yet: edge recipe activate {stored.id}")


@app.command()
def export(
    identity: Text, path: Annotated[Path, typer.Argument(help="File to write.", metavar="FILE.zip")]
) -> None:
    """Write a recipe into one file, for another machine."""
    stored = RecipeStore().find(identity)
    archive.export(stored, path)
    console.print(f"{path}: {stored.id}, {stored.bundle.bytes / 1e6:.1f} MB")


@app.command("import")
def import_recipe(
    path: Annotated[Path, typer.Argument(help="File of 'edge recipe export'.", metavar="FILE.zip")],
) -> None:
    """Check signature and hashes of an exported recipe, then store it; it is not active."""
    stored = archive.import_file(RecipeStore(), path)
    console.print(f"stored {stored.id}\nnot active yet: edge recipe activate {stored.id}")


@app.command()
def activate(
    identity: Text,
    why: Why = "",
    uncertified: Annotated[
        bool, typer.Option("--uncertified", help="Although nobody has bounded the escape rate of this one.")
    ] = False,
) -> None:
    """Verify a recipe, load its engines here, and make it the one that lines take at their next start."""
    stored = RecipeStore().activate(identity, why=why, uncertified=uncertified)
    console.print(f"active: {stored.bundle.name} → {stored.id}; lines take it at their next start")


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Name of the recipe.", metavar="NAME")], why: Why = ""
) -> None:
    """Go back to the recipe that was active before."""
    stored = RecipeStore().rollback(name, why=why)
    console.print(f"active: {stored.bundle.name} → {stored.id}; lines take it at their next start")


@app.command()
def gc(
    lines: Annotated[
        list[Path] | None,
        typer.Argument(help="Line files whose recipes and journal count too.", metavar="LINE.yaml"),
    ] = None,
    keep: Annotated[
        int, typer.Option(min=1, max=1000, help="Of each name, that were active before, and are kept.")
    ] = 3,
) -> None:
    """Remove old recipes: never the active, those before it, newer ones, or one that a journal or a line names."""
    from edge.config import load_line
    from edge.recipes.needed import needed

    store = RecipeStore()
    removed = store.collect(keep, needed([load_line(path) for path in lines or ()]))
    console.print("\n".join(f"removed {identity}" for identity in removed) or "nothing to remove")
