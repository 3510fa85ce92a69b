"""``edge engines store``: what is stored, what is active, who is trusted."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from engines.console import console, progress
from engines.golden import load_golden
from engines.store.folder import EngineStore, Stored, verify
from engines.store.offer import Offer, offer_onnx

app = typer.Typer(no_args_is_help=True, help="The engine store: signed engines, activation, roll-back.")
keys_app = typer.Typer(
    no_args_is_help=True, help="Keys that engines are signed with, and whom this machine trusts."
)
app.add_typer(keys_app, name="keys")

EngineId = Annotated[str, typer.Argument(help="Id of an entry, or the beginning of it.", metavar="ID")]
Why = Annotated[str, typer.Option(help="For the audit log.")]
Name = Annotated[str, typer.Argument(help="Name of the engine, as in its manifest.", metavar="NAME")]


@app.command("list")
def list_entries() -> None:
    """Show every entry: what it runs on, how fast and how good it is, and which are active."""
    store = EngineStore()
    table = Table(title=str(store.root))
    for title in ("active", "id", "runs on", "p50 / p99 ms", "golden set", "made"):
        table.add_column(title, overflow="fold")
    for item in store.entries():
        entry, measured = item.entry, item.entry.measured
        golden = measured.golden_accuracy
        table.add_row(
            "●" if store.active_id(entry.name) == item.id else "",
            item.id,
            f"{entry.backend} {entry.target.version} {entry.target.gpu or entry.target.machine}",
            f"{measured.latency_p50_ms:.2f} / {measured.latency_p99_ms:.2f}",
            "not asked" if golden is None else f"{golden:.2%} of {measured.golden_parts}",
            f"{entry.created:%Y-%m-%d %H:%M}",
        )
    console.print(table)


@app.command()
def add(
    manifest: Annotated[
        Path, typer.Argument(help="Manifest of an ONNX Runtime engine.", metavar="MANIFEST.yaml")
    ],
    golden: Annotated[
        Path | None,
        typer.Option(help="Golden set (python -m tools.golden) that it is asked.", metavar="SET.npz"),
    ] = None,
    activate_it: Annotated[bool, typer.Option("--activate", help="And make it the active one.")] = False,
) -> None:
    """Measure, sign and store an ONNX Runtime engine as it is."""
    store = EngineStore()
    with progress() as say:
        stored = offer_onnx(store, Offer(manifest, load_golden(golden) if golden else None), say)
    tell_stored(store, stored, activate_it)


def tell_stored(store: EngineStore, stored: Stored, activate_it: bool) -> None:
    """Says what was stored, and activates it when wished."""
    measured = stored.entry.measured
    console.print(
        f"stored {stored.id}: p50 {measured.latency_p50_ms:.2f} ms, p99 {measured.latency_p99_ms:.2f} ms"
        + ("" if measured.golden_accuracy is None else f", golden set {measured.golden_accuracy:.2%}")
    )
    for note in stored.entry.notes:
        console.print(f"[yellow]note: {note}[/]")
    if activate_it:
        store.activate(stored.id)
        console.print(f"active: store:{stored.entry.name} → {stored.id}")
    else:
        console.print(f"not active yet: edge engines store activate {stored.id}")


@app.command("verify")
def verify_entry(identity: EngineId) -> None:
    """Check signature, key, files and target of an entry, as a line does before it loads it."""
    store = EngineStore()
    stored = store.find(identity)
    verify(stored.folder, store.keys)
    console.print(f"{stored.id}: signed by a trusted key, whole, and built for this machine")


@app.command()
def activate(
    identity: EngineId,
    even_if_worse: Annotated[
        bool, typer.Option("--even-if-worse", help="Although it gets fewer of the golden set right.")
    ] = False,
    why: Why = "",
) -> None:
    """Verify an entry and make it the one that lines load at their next start."""
    stored = EngineStore().activate(identity, even_if_worse=even_if_worse, why=why)
    console.print(f"active: store:{stored.entry.name} → {stored.id}; lines load it at their next start")


@app.command()
def rollback(name: Name, why: Why = "") -> None:
    """Go back to the engine that was active before."""
    stored = EngineStore().rollback(name, why=why)
    console.print(f"active: store:{name} → {stored.id}; lines load it at their next start")


@app.command()
def gc(
    keep: Annotated[
        int, typer.Option(min=0, max=100, help="Engines that were active before and are kept.")
    ] = 2,
) -> None:
    """Remove old entries and what a crash left behind."""
    removed = EngineStore().collect(keep)
    console.print("\n".join(f"removed {identity}" for identity in removed) or "nothing to remove")


@keys_app.command()
def create() -> None:
    """Make the key that this machine signs engines with, and trust it here."""
    ring = EngineStore().keys
    key = ring.create()
    console.print(
        f"key {key}; private: {ring.private_path} (mode 0600, keep it here), public: {ring.trusted_folder / key}.pub\n"
        f"on a line: edge engines store keys trust {key}.pub"
    )


@keys_app.command("list")
def list_keys() -> None:
    """Show whose engines this machine runs."""
    ring = EngineStore().keys
    for key in sorted(ring.trusted()):
        console.print(f"trusted {key}")
    console.print(f"signing key: {ring.private_path if ring.private_path.is_file() else 'none'}")


@keys_app.command()
def trust(
    path: Annotated[Path, typer.Argument(help="Public key of the machine that builds.", metavar="KEY.pub")],
) -> None:
    """Run engines that are signed with this key."""
    console.print(f"trusted {EngineStore().keys.trust(path)}")


@keys_app.command()
def distrust(key: Annotated[str, typer.Argument(help="Id of the key.", metavar="KEY")]) -> None:
    """Refuse engines that are signed with this key from now on."""
    EngineStore().keys.distrust(key)
    console.print(f"no longer trusted: {key}; lines refuse its engines at their next start")
