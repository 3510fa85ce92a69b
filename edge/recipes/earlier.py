"""What stands by for a recipe while the line runs: what was active before it, for a watch that takes it back."""

from pathlib import Path

from edge.config import LineConfig, engine_path
from edge.errors import EdgeError, EngineError
from edge.inspection.rules import class_limits, native_rules
from edge.inspection.settings import STORE, STORED, RecipeConfig
from edge.recipes.store import RecipeStore
from engines.errors import EnginesError
from engines.manifest import load_manifest
from engines.store.folder import EngineStore


def stored_id(config: LineConfig) -> str:
    """Of the line's own recipe in the recipe store; empty: it is the line file's."""
    text = config.recipe or ""
    return text.removeprefix(STORED) if text.startswith(STORED) else ""


def own_earlier(config: LineConfig) -> RecipeConfig | None:
    """Of the line's own recipe: the bundle before it; without one, the engines of the engine store before these.

    None: nothing was active before. Raises EngineError: what was does not fit the line.
    """
    if identity := stored_id(config):
        return stored_earlier(identity, config.recipe_number, _classes(engine_path(config.engines.gate)))
    named = {role: getattr(config.engines, role) for role in ("gate", "classifier")}
    before: dict[str, Path] = {}
    for role, text in named.items():
        if text and text.startswith(STORE):
            found = EngineStore().earlier(text.removeprefix(STORE))
            if found is None:
                return None  # half a pair is none
            before[role] = found
    if not before:
        return None
    now = {role: engine_path(text) if text else None for role, text in named.items()}
    shared = {name: getattr(config, name) for name in ("exposure", "routing", "scores", "retest", "rules")}
    recipe = RecipeConfig(number=config.recipe_number, roi=config.camera.roi, **{**now, **before}, **shared)
    return _fitting(recipe, _classes(engine_path(config.engines.gate)))


def stored_earlier(identity: str, number: int, classes: tuple[str, ...]) -> RecipeConfig | None:
    """Of one of the recipe store, under the same number; ``classes``: the line's. As ``own_earlier``."""
    before = RecipeStore().earlier(identity)
    return _fitting(before.config(number), classes) if before else None


def _fitting(recipe: RecipeConfig, classes: tuple[str, ...]) -> RecipeConfig:
    """It may know fewer classes, if those it knows have the same numbers: one was taught since then."""
    try:
        for path in (recipe.gate, recipe.classifier):
            found = _classes(path) if path else ()
            if found != classes[: len(found)]:
                raise EngineError(
                    f"{path}: classes are {list(found)}, but the line's are {list(classes)}; expected the first of "
                    "these"
                )
        native_rules(recipe.rules, _classes(recipe.gate))
        class_limits(recipe.rules, _classes(recipe.gate))
    except (EdgeError, EnginesError) as error:
        raise EngineError(
            f"keep_earlier: what was active before cannot stand by: {error}; leave keep_earlier out"
        ) from error
    return recipe


def _classes(manifest: Path) -> tuple[str, ...]:
    return load_manifest(manifest).classes
