"""One file out, one file in; what somebody else could put into such a file."""

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import RecipeError
from edge.recipes.archive import export, import_file
from edge.recipes.bundle import StoredRecipe
from edge.recipes.store import RecipeStore
from engines.store.keys import KeyRing

Entries = dict[str, bytes]


@pytest.fixture
def other(tmp_path: Path, store: RecipeStore) -> RecipeStore:
    """Another machine that trusts the first."""
    ring = KeyRing(tmp_path / "other_keys")
    ring.trust(store.keys.trusted_folder / f"{store.keys.signer().id}.pub")
    return RecipeStore(tmp_path / "other", ring)


def rewritten(path: Path, change: Callable[[Entries], None], **how: int) -> Path:
    """The exported file with other entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    changed = path.with_name("changed.zip")
    with zipfile.ZipFile(changed, "w", how.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = how.get("compression", zipfile.ZIP_STORED)
            info.external_attr = how.get("mode", 0) << 16
            archive.writestr(info, content)
    return changed


def test_a_recipe_travels_in_one_file_to_a_machine_that_trusts_its_maker(
    other: RecipeStore, first: StoredRecipe, tmp_path: Path
) -> None:
    path, again = tmp_path / "bracket.zip", tmp_path / "again.zip"
    export(first, path)
    export(first, again)
    assert path.read_bytes() == again.read_bytes()
    taken = import_file(other, path)
    assert (taken.id, taken.bundle) == (first.id, first.bundle)
    assert other.active_id("bracket") is None
    assert import_file(other, path).id == taken.id
    other.activate(taken.id)
    assert other.find("bracket").config(1).gate.is_relative_to(other.root)


CHANGES: dict[str, tuple[Callable[[Entries], None], dict[str, int], str]] = {
    "a way up": (lambda e: e.update({"../../evil": b"x"}), {}, "which nobody signed"),
    "an absolute path": (lambda e: e.update({"/etc/evil": b"x"}), {}, "which nobody signed"),
    "links": (lambda e: None, {"mode": stat.S_IFLNK | 0o777}, "no ordinary file"),
    "another engine": (lambda e: e.update({"gate/gate_detector.onnx": b"x" * 9}), {}, "signed were"),
    "a bomb": (
        lambda e: e.update({"gate/gate_detector.onnx": bytes(16 << 20)}),
        {"compression": zipfile.ZIP_DEFLATED},
        "is larger than",
    ),
    "a bomb at its head": (
        lambda e: e.update({"bundle.json": bytes(2 << 20)}),
        {"compression": zipfile.ZIP_DEFLATED},
        "is larger than",
    ),
    "no seal": (lambda e: e.pop("bundle.sig"), {}, "bundle.sig is missing"),  # type: ignore[dict-item]
    "an engine less": (lambda e: e.pop("classifier/engine.yaml"), {}, "engine.yaml is missing"),  # type: ignore[dict-item]
    "many files": (lambda e: e.update({f"gate/{n}": b"x" for n in range(40)}), {}, "at most"),
    "another name": (
        lambda e: e.update({"bundle.json": e["bundle.json"].replace(b'"bracket"', b'"brocket"')}),
        {},
        "not of this content",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_file_that_is_not_what_was_signed_writes_nothing(
    other: RecipeStore, first: StoredRecipe, tmp_path: Path, what: str
) -> None:
    change, how, said = CHANGES[what]
    export(first, tmp_path / "bracket.zip")
    with pytest.raises(RecipeError, match=said):
        import_file(other, rewritten(tmp_path / "bracket.zip", change, **how))
    assert not other.root.exists()


def test_a_signed_bundle_that_names_a_file_outside_is_refused(
    store: RecipeStore, other: RecipeStore, first: StoredRecipe, tmp_path: Path
) -> None:
    from edge.recipes.bundle import RECIPE_SEAL

    content = (first.folder / "bundle.json").read_text().replace("gate/gate_detector.onnx", "gate/../../evil")
    with pytest.raises(RecipeError, match=r"gate/\.\./\.\./evil"):
        other.put(content.encode(), store.keys.signer().seal(content.encode(), RECIPE_SEAL), {}, "a bundle")
    assert not other.root.exists()


@pytest.mark.parametrize("share", [0.2, 0.999])
def test_half_a_file_is_refused(
    other: RecipeStore, first: StoredRecipe, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "bracket.zip"
    export(first, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(RecipeError, match="expected a file of 'edge recipe export'"):
        import_file(other, path)


def test_a_stranger_is_not_believed(first: StoredRecipe, tmp_path: Path) -> None:
    export(first, tmp_path / "bracket.zip")
    lonely = RecipeStore(tmp_path / "lonely", KeyRing(tmp_path / "no_keys"))
    with pytest.raises(RecipeError, match="not trusted here"):
        import_file(lonely, tmp_path / "bracket.zip")
