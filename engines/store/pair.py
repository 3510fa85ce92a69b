"""Gate and classifier become active together, and are taken back together.

All of them are looked at before any is switched, and a switch that fails takes back those before it.
"""

from collections.abc import Sequence

from engines.errors import StoreError
from engines.store.folder import EngineStore, Stored, verify


def activate_together(store: EngineStore, entries: Sequence[Stored], why: str) -> dict[str, str | None]:
    """Returns name → what was active before. Raises StoreError: none of them is active then, but where nothing was
    active before: there a line refuses to start without the other half."""
    for item in entries:
        verify(item.folder, store.keys)
    before = {item.entry.name: store.active_id(item.entry.name) for item in entries}
    switched: list[Stored] = []
    try:
        for item in entries:
            store.activate(item.id, even_if_worse=True, why=why)  # proved on the same parts before and after
            switched.append(item)
    except StoreError:
        for item in reversed(switched):
            if before[item.entry.name] not in (None, item.id):
                store.rollback(item.entry.name, why=f"{why}: its pair could not be activated")
        raise
    return before


def roll_back_together(store: EngineStore, names: Sequence[str], why: str) -> dict[str, str]:
    """Returns name → what is active now. Raises StoreError: one of them has nothing to go back to; then all stay."""
    active = {name: store.active_id(name) for name in names}
    for name, identity in active.items():
        if all(entry == identity for entry in store.history(name)):
            raise StoreError(
                f"store:{name}: nothing to roll back to; expected an engine that was active before: none of "
                f"{', '.join(names)} was changed"
            )
    done: dict[str, str] = {}
    try:
        for name in names:
            done[name] = store.rollback(name, why=why).id
    except StoreError:
        for name in done:
            before = active[name]
            if before is not None:
                store.activate(before, even_if_worse=True, why=f"{why}: its pair could not be taken back")
        raise
    return done
