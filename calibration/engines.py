"""Engines by the names that line files use."""

from pathlib import Path

import engines
from engines.store.folder import EngineStore


def engine_named(text: str) -> Path:
    """``shipped:NAME``, ``store:NAME`` or the path of a manifest. Raises StoreError."""
    kind, _, name = text.partition(":")
    if kind == "shipped" and name:
        return Path(engines.__file__).parent / "models" / f"{name}.yaml"
    if kind == "store" and name:
        return EngineStore().active(name)
    return Path(text)
