"""Bundles on their shelf: signed, verified before use, switched by one rename, and rolled back."""

import contextlib
import datetime
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.errors import EdgeError, RecipeError
from edge.inspection.certificate import HOLDS
from edge.inspection.engines import load_pair
from edge.inspection.rules import class_limits, native_rules
from edge.recipes.bundle import (
    BUNDLE,
    RECIPE_SEAL,
    SEAL,
    Bundle,
    StoredRecipe,
    bundle_id,
    check_files,
    read_bundle,
)
from engines.audit import who
from engines.errors import StoreError
from engines.store.entry import FileFact, sha256
from engines.store.keys import KeyRing, key_folder
from engines.store.shelf import Shelf


def recipe_folder() -> Path:
    """``EDGE_RECIPES``, else /var/lib/edge/recipes where it is there, else ~/.local/share/edge/recipes."""
    if given := os.environ.get("EDGE_RECIPES"):
        return Path(given)
    system = Path("/var/lib/edge/recipes")
    return system if system.is_dir() else Path.home() / ".local" / "share" / "edge" / "recipes"


class RecipeStore:
    """One folder of bundles. What it hands out was verified; every error is a RecipeError."""

    def __init__(self, root: Path | None = None, keys: KeyRing | None = None) -> None:
        self.root = root or recipe_folder()
        self.keys = keys or KeyRing(key_folder())
        self._shelf = Shelf(self.root, "recipe", "remove bundles with 'edge recipe gc'", "EDGE_RECIPES")

    def make(
        self, name: str, engines: Mapping[str, str], files: Mapping[str, bytes], why: str
    ) -> StoredRecipe:
        """Signs and stores a bundle; it is not active. Raises RecipeError: no key, disk full, not whole."""
        facts = {key: {"sha256": sha256(content), "size": len(content)} for key, content in files.items()}
        created = datetime.datetime.now(datetime.timezone.utc).isoformat()
        fields: dict[str, Any] = {"name": name, "created": created, "made_by": who(), "why": why}
        try:
            bundle = Bundle(**fields, engines=dict(engines), files=facts)
        except ValueError as error:
            raise RecipeError(f"recipe '{name}': {error}") from error
        content = bundle.model_dump_json(by_alias=True, indent=1).encode()
        with _as_recipe_errors():
            seal = self.keys.signer().seal(content, RECIPE_SEAL)
            return self.put(content, seal, files, f"recipe '{name}'")

    def put(self, content: bytes, seal: bytes, files: Mapping[str, bytes], what: str) -> StoredRecipe:
        """Takes a bundle after its signature and every file were checked; one that is here already stays."""
        with _as_recipe_errors():
            self.keys.check_seal(seal, content, what, RECIPE_SEAL)
            bundle = read_bundle(content, what)
            check_files(bundle, files, what)
            identity = bundle_id(bundle.name, content)
            folder = self._shelf.entry(identity)
            if not folder.is_dir():
                self._shelf.put(identity, {**files, BUNDLE: content, SEAL: seal})
        return StoredRecipe(identity, folder, bundle)

    def entries(self) -> list[StoredRecipe]:
        """All that can be read, oldest first; not verified."""
        found = []
        for folder in self.root.glob("entries/*"):
            with contextlib.suppress(RecipeError, OSError):
                bundle = read_bundle((folder / BUNDLE).read_bytes(), str(folder))
                found.append(StoredRecipe(folder.name, folder, bundle))
        return sorted(found, key=lambda item: item.bundle.created)

    def active_id(self, name: str) -> str | None:
        """Id of the active bundle of this name."""
        return self._shelf.active_id(name)

    def history(self, name: str) -> list[str]:
        """Ids that were active, oldest first."""
        return self._shelf.history(name)

    def earlier(self, identity: str) -> StoredRecipe | None:
        """What was active before this one under the same name and still verifies, newest first; None: nothing."""
        name = identity.rpartition("-")[0]
        for before in self._shelf.before(name, identity):
            with contextlib.suppress(RecipeError):
                return self.find(before)
        return None

    def find(self, text: str) -> StoredRecipe:
        """By the name of an active recipe, an id, or the beginning of one; verified. Raises RecipeError."""
        active = self.active_id(text)
        entries = self.entries()
        matches = [item for item in entries if item.id == (active or text)] or [
            item for item in entries if item.id.startswith(text)
        ]
        if len(matches) != 1:
            known = sorted(item.id for item in matches or entries)
            raise RecipeError(
                f"recipe '{text}': expected the name of an active recipe, or an id, of {self.root}; found "
                f"{', '.join(known) or 'none'}: run 'edge recipe list', 'edge recipe activate ID'"
            )
        return self.verified(matches[0])

    def verified(self, stored: StoredRecipe) -> StoredRecipe:
        """Signature and every file, as they are now. Raises RecipeError."""
        folder = stored.folder
        try:
            content, seal = (folder / BUNDLE).read_bytes(), (folder / SEAL).read_bytes()
            names = [str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()]
            files = {name: (folder / name).read_bytes() for name in names if name not in {BUNDLE, SEAL}}
        except OSError as error:
            raise RecipeError(
                f"{error.filename}: cannot be read ({error.strerror}); import it again"
            ) from error
        with _as_recipe_errors():
            self.keys.check_seal(seal, content, str(folder), RECIPE_SEAL)
        bundle = read_bundle(content, str(folder))
        check_files(bundle, files, str(folder))
        return StoredRecipe(stored.id, folder, bundle)

    def activate(self, text: str, *, why: str = "", uncertified: bool = False) -> StoredRecipe:
        """Makes a bundle the one that lines load at their next start, gate and classifier together.

        Raises RecipeError: not verified, its engines do not load here, or its certificate does not hold.
        """
        stored = self.find(text)
        self._check_usable(stored, uncertified=uncertified)
        name = stored.bundle.name
        with _as_recipe_errors(), self._shelf.locked("active", fcntl.LOCK_EX):
            self._shelf.switch(name, stored.id, [*self.history(name), stored.id], why)
        return stored

    def rollback(self, name: str, *, why: str = "") -> StoredRecipe:
        """Back to the bundle that was active before and can still be used. Raises RecipeError: there is none."""
        refused = []
        with _as_recipe_errors(), self._shelf.locked("active", fcntl.LOCK_EX):
            for identity, history in self._shelf.ways_back(name):
                try:
                    stored = self.find(identity)
                    self._check_usable(stored, uncertified=True)
                except RecipeError as error:
                    refused.append(str(error))
                    continue
                self._shelf.switch(name, stored.id, history, why or "rollback")
                return stored
        raise RecipeError(
            f"recipe '{name}': nothing to go back to ({'; '.join(refused) or 'no other one was active before'}); "
            "activate another one"
        )

    def collect(self, keep: int, needed: Callable[[StoredRecipe], bool]) -> list[str]:
        """Removes bundles that are neither active, nor among the last ``keep`` (at least one) active before, nor newer
        than the active one, nor ``needed``; those of a name of which none is active stay. Returns their ids.

        Raises RecipeError: somebody else is at it, or the audit cannot be written; what is not removed then is whole.
        """
        removed: list[str] = []
        with (
            _as_recipe_errors(),
            self._shelf.locked("store", fcntl.LOCK_EX),
            self._shelf.locked("active", fcntl.LOCK_EX),
        ):
            entries = self.entries()
            kept = self._kept(entries, max(1, keep))
            for item in entries:
                if item.id in kept or needed(item):
                    continue
                try:
                    self._shelf.audit.append(
                        "recipe", item.bundle.name, before=item.id, after=None, why="removed"
                    )
                    self._shelf.remove(item.id)
                except OSError as error:
                    raise RecipeError(
                        f"{self.root}: {item.id} cannot be removed ({error.strerror}); {len(removed)} were before it"
                    ) from error
                removed.append(item.id)
            self._shelf.sweep()
        return removed

    def _kept(self, entries: Sequence[StoredRecipe], keep: int) -> set[str]:
        kept = set()
        for name in {item.bundle.name for item in entries}:
            own = [item for item in entries if item.bundle.name == name]
            active = self.active_id(name)
            since = next((item.bundle.created for item in own if item.id == active), None)
            kept |= {item.id for item in own if since is None or item.bundle.created >= since}
            kept |= set(self._shelf.before(name, active)[:keep])
        return kept

    def _check_usable(self, stored: StoredRecipe, *, uncertified: bool) -> None:
        try:
            config = stored.config(0)
            gate, _ = load_pair(config.gate, config.classifier, threads=1)
            native_rules(config.rules, gate.manifest.classes)
            class_limits(config.rules, gate.manifest.classes)
        except EdgeError as error:
            raise RecipeError(f"{stored.id}: cannot be used here: {error}") from error
        state = stored.certificate_state
        if state != HOLDS and not uncertified:
            raise RecipeError(
                f"{stored.id}: its certificate: {state}; expected one that holds: run 'edge calibrate thresholds' and "
                "make the recipe anew, or give --uncertified"
            )


@contextlib.contextmanager
def _as_recipe_errors() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise RecipeError(str(error)) from error


__all__ = ["FileFact", "RecipeStore", "recipe_folder"]
