"""A store of recipes with a key of its own, and the shipped engines as a bundle."""

import re
from pathlib import Path

import pytest

from edge.config import LineConfig, example_path, load_line
from edge.recipes.bundle import StoredRecipe
from edge.recipes.make import bundle_files
from edge.recipes.store import RecipeStore
from engines.store.keys import KeyRing

Files = tuple[dict[str, str], dict[str, bytes]]


@pytest.fixture(scope="session")
def demo_line() -> LineConfig:
    return load_line(example_path("demo.yaml"))


@pytest.fixture(scope="session")
def demo_files(demo_line: LineConfig) -> Files:
    return bundle_files(demo_line)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecipeStore:
    monkeypatch.setenv("EDGE_RECIPES", str(tmp_path / "recipes"))
    monkeypatch.setenv("EDGE_KEYS", str(tmp_path / "keys"))
    KeyRing(tmp_path / "keys").create()
    return RecipeStore()


@pytest.fixture
def first(store: RecipeStore, demo_files: Files) -> StoredRecipe:
    return store.make("bracket", *demo_files, "first")


@pytest.fixture
def second(store: RecipeStore, demo_files: Files) -> StoredRecipe:
    """The same with other thresholds: its certificate no longer holds."""
    engines, files = demo_files
    text, places = re.subn(
        r"classifier_good: [0-9.]+", "classifier_good: 0.9999", files["recipe.yaml"].decode()
    )
    assert places
    return store.make("bracket", engines, {**files, "recipe.yaml": text.encode()}, "stricter")
