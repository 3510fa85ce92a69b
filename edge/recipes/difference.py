"""What differs between two recipes, key by key."""

from collections.abc import Iterator
from typing import Any

from edge.recipes.bundle import ROLES, StoredRecipe

Difference = tuple[str, str, str]
NOTHING = "–"


def differences(before: StoredRecipe, after: StoredRecipe) -> list[Difference]:
    """(key, before, after) of everything that decides; expectations and certificates come by their date only."""
    rows = [
        (f"engines.{role}", _short(before.bundle.engines.get(role)), _short(after.bundle.engines.get(role)))
        for role in ROLES
    ]
    old, new = dict(_flat(_facts(before))), dict(_flat(_facts(after)))
    rows += [(key, old.get(key, NOTHING), new.get(key, NOTHING)) for key in sorted(old.keys() | new.keys())]
    return [row for row in rows if row[1] != row[2]]


def _facts(stored: StoredRecipe) -> dict[str, Any]:
    recipe = stored.recipe
    data = recipe.model_dump(
        mode="json", by_alias=True, exclude={"certificate": True, "routing": {"__all__": {"expected"}}}
    )
    data["certificate"] = stored.certificate_state
    if recipe.certificate:
        data["certificate_of"] = f"{recipe.certificate.data.source}, {recipe.certificate.date}"
    return data


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _flat(item, f"{key}[{number}]")
    else:
        yield key, NOTHING if value is None else str(value)


def _short(digest: str | None) -> str:
    return NOTHING if digest is None else digest[:12]
