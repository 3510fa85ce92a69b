"""Killed at every step that touches the disk: what is active is whole, and the same command succeeds afterwards."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.recipes.archive import export, import_file
from edge.recipes.bundle import StoredRecipe
from edge.recipes.store import RecipeStore
from engines.audit import AuditLog
from tests.recipes.conftest import Files

STEPS = {"open", "os.mkdir", "os.rename", "os.symlink", "os.remove", "os.chmod", "os.rmdir", "fcntl.flock"}


def killed_at(step: int, action: Callable[[], object], below: Path) -> bool:
    """Runs ``action`` in a process that dies before its n-th step below a folder; False: it came to its end."""
    child = os.fork()
    if child == 0:
        left = [step]

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if event not in STEPS or not (event == "fcntl.flock" or str(below) in str(arguments[:2])):
                return
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_import_killed_anywhere_leaves_all_or_nothing(
    store: RecipeStore, first: StoredRecipe, tmp_path: Path
) -> None:
    path = tmp_path / "bracket.zip"
    export(first, path)
    step = 0
    while True:
        step += 1
        other = RecipeStore(tmp_path / f"other-{step}", store.keys)
        killed = killed_at(step, lambda other=other: import_file(other, path), other.root)
        for stored in other.entries():
            assert other.verified(stored).id == first.id
        assert import_file(other, path).id == first.id
        assert other.verified(other.entries()[0]).bundle == first.bundle
        if not killed:
            break
    assert step > 15


@pytest.mark.parametrize("what", ["activate", "rollback"])
def test_a_switch_killed_anywhere_leaves_the_one_or_the_other(
    store: RecipeStore, first: StoredRecipe, demo_files: Files, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines, files = demo_files
    second = store.make("bracket", engines, files, "second")
    # Its engines load, as other tests show; here it would take a second at every step.
    monkeypatch.setattr(RecipeStore, "_check_usable", lambda *_, **__: None)
    step = 0
    while True:
        step += 1
        store.activate(first.id)
        if what == "rollback":
            store.activate(second.id)
        wanted = second.id if what == "activate" else first.id
        action = (
            (lambda: store.activate(second.id)) if what == "activate" else (lambda: store.rollback("bracket"))
        )
        killed = killed_at(step, action, store.root)
        assert store.find("bracket").id in {first.id, second.id}
        if store.active_id("bracket") != wanted:
            action()
        assert store.find("bracket").id == wanted
        log = AuditLog(store.root / "audit.jsonl")
        assert log.check() == []
        assert log.rows()[-1]["after"] == wanted
        if not killed:
            break
    assert step > 8
