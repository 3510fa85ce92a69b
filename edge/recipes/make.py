"""From a line file to the files of a bundle: its engines, and the sections that belong to the product."""

from pathlib import Path
from typing import Any

import yaml

from edge.config import LineConfig, engine_path
from edge.errors import RecipeError
from edge.recipes.bundle import ENGINE, ENTRY, RECIPE, ROLES, SIGNATURE, BundledRecipe
from engines.errors import EnginesError
from engines.manifest import load_manifest


def bundle_files(line: LineConfig) -> tuple[dict[str, str], dict[str, bytes]]:
    """(role → SHA-256 of the model, name → content). Raises RecipeError: an engine that cannot be read."""
    shared = {name: getattr(line, name) for name in BundledRecipe.model_fields if hasattr(line, name)}
    recipe = BundledRecipe(roi=line.camera.roi, **shared)
    hashes: dict[str, str] = {}
    files = {RECIPE: recipe_yaml(recipe).encode()}
    for role in ROLES:
        if text := getattr(line.engines, role):
            hashes[role], engine = _engine_files(engine_path(text))
            files |= {f"{role}/{name}": content for name, content in engine.items()}
    return hashes, files


def recipe_yaml(recipe: BundledRecipe) -> str:
    """In the order of the fields."""
    data: dict[str, Any] = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    return str(yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110))


def _engine_files(path: Path) -> tuple[str, dict[str, bytes]]:
    """An entry of the engine store keeps its own signature: a line still sees for which device it was built."""
    try:
        manifest = load_manifest(path)
        files = {ENGINE: path.read_bytes(), manifest.file: manifest.model_path.read_bytes()}
        if (path.parent / ENTRY).is_file():
            files |= {name: (path.parent / name).read_bytes() for name in (ENTRY, SIGNATURE)}
    except (EnginesError, OSError) as error:
        raise RecipeError(f"{path}: {error}") from error
    return manifest.sha256, files
