"""A store and keys of the test's own."""

from pathlib import Path

import pytest

from engines.store.folder import EngineStore


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the store of this machine."""
    monkeypatch.setenv("EDGE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("EDGE_KEYS", str(tmp_path / "keys"))


@pytest.fixture
def store(own_folders: None) -> EngineStore:
    """Empty, with a key."""
    made = EngineStore()
    made.keys.create()
    return made
