"""The engines on their shelf: nothing is used that has not been verified.

An entry is entry.json, entry.sig, engine.yaml and the engine.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from engines.errors import StoreError
from engines.store.entry import (
    Draft,
    Entry,
    FileFact,
    Target,
    check_target,
    content_key,
    file_fact,
    sha256,
    this_machine,
)
from engines.store.keys import ENGINE, KeyRing, Signer, key_folder
from engines.store.shelf import Shelf

ENTRY, SIGNATURE, MANIFEST = "entry.json", "entry.sig", "engine.yaml"
_GOLDEN_TOLERANCE = 0.003
"""The drop that INT8 may cost, see docs/engines.md."""


def store_folder() -> Path:
    """``EDGE_STORE``, else /var/lib/edge/engines where it is there, else ~/.local/share/edge/engines."""
    if given := os.environ.get("EDGE_STORE"):
        return Path(given)
    system = Path("/var/lib/edge/engines")
    return system if system.is_dir() else Path.home() / ".local" / "share" / "edge" / "engines"


@dataclass(frozen=True)
class Stored:
    """An entry that is there, verified or not."""

    id: str
    folder: Path
    entry: Entry


def read_entry(folder: Path) -> Entry:
    """Raises StoreError: not there, or not an entry."""
    path = folder / ENTRY
    try:
        return Entry.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror}); expected an entry of the engine store"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise StoreError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; the entry is damaged: build the engine again"
        ) from error


def verify(folder: Path, keys: KeyRing, here: Target | None = None) -> Entry:
    """Signature, key, every file and the target, in this order. Raises StoreError; see ``this_machine`` for others."""
    try:
        content = (folder / ENTRY).read_bytes()
        seal = (folder / SIGNATURE).read_bytes()
    except OSError as error:
        raise StoreError(
            f"{folder}: entry or signature is missing ({error}); an engine without a signature is not used: "
            "build it again with 'edge engines build', or add it with 'edge engines store add'"
        ) from error
    keys.check_seal(seal, content, str(folder), ENGINE)
    entry = read_entry(folder)
    if entry.key != content_key(entry.sources, entry.target, entry.options):
        raise StoreError(f"{folder}: its key does not match its content; build the engine again")
    if MANIFEST not in entry.files:
        raise StoreError(f"{folder}: {MANIFEST} is not among the signed files; build the engine again")
    for name, expected in entry.files.items():
        _check_file(folder / name, expected)
    check_target(entry, here or this_machine(entry.backend), str(folder))
    return entry


def _check_file(path: Path, expected: FileFact) -> None:
    try:
        found = file_fact(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); build the engine again") from error
    if found != expected:
        raise StoreError(
            f"{path}: {found.size} bytes with SHA-256 {found.sha256[:16]}…, signed were {expected.size} bytes with "
            f"{expected.sha256[:16]}…; it was truncated or replaced: build the engine again, or 'edge engines store "
            "rollback'"
        )


class EngineStore:
    """One folder of engines. Every change is atomic and taken under a lock; readers need none."""

    def __init__(self, root: Path | None = None, keys: KeyRing | None = None) -> None:
        self.root = root or store_folder()
        self.keys = keys or KeyRing(key_folder())
        room = "make room with 'edge engines store gc'"
        self._shelf = Shelf(self.root, "engine", room, "EDGE_STORE")

    @contextlib.contextmanager
    def building(self, key: str) -> Iterator[None]:
        """Holds the right to build the engine of this key. Raises StoreError: somebody else is at it."""
        with (
            self._shelf.locked("store", fcntl.LOCK_SH),
            self._shelf.locked(f"build-{key[:32]}", fcntl.LOCK_EX),
        ):
            yield

    def add(self, draft: Draft, files: Mapping[str, bytes], signer: Signer) -> Stored:
        """Writes and signs an entry; it is not active.

        Raises StoreError: disk full, or no right to write; nothing is left behind then.
        """
        facts = {name: FileFact(sha256=sha256(content), size=len(content)) for name, content in files.items()}
        key = content_key(draft.sources, draft.target, draft.options)
        entry = Entry(**draft.model_dump(by_alias=True), key=key, files=facts)
        content = entry.model_dump_json(by_alias=True, indent=1).encode()
        written = {**files, ENTRY: content, SIGNATURE: signer.seal(content, ENGINE)}
        identity = f"{entry.name}-{key[:12]}-{sha256(content)[:8]}"
        target = self._shelf.put(identity, written)
        return Stored(identity, target, entry)

    def entries(self) -> list[Stored]:
        """All that can be read, oldest first; not verified."""
        found = []
        for folder in sorted(self.root.glob("entries/*")):
            with contextlib.suppress(StoreError):
                found.append(Stored(folder.name, folder, read_entry(folder)))
        return sorted(found, key=lambda item: item.entry.created)

    def find(self, text: str) -> Stored:
        """An entry by its id, the beginning of it, or the name of an active one. Raises StoreError."""
        entries = self.entries()
        active = self.active_id(text)
        matches = [item for item in entries if item.id == (active or text)] or [
            item for item in entries if item.id.startswith(text)
        ]
        if len(matches) != 1:
            found = [item.id for item in matches or entries]
            raise StoreError(
                f"'{text}': expected one entry of {self.root}, found {found or 'none'}; give more of its id"
            )
        return matches[0]

    def active_id(self, name: str) -> str | None:
        """Id of the active entry of this name."""
        return self._shelf.active_id(name)

    def active(self, name: str, here: Target | None = None) -> Path:
        """Manifest of the active engine, verified. Raises StoreError."""
        identity = self.active_id(name)
        if identity is None:
            known = self._shelf.active_names()
            raise StoreError(
                f"store:{name}: no active engine of this name in {self.root} (active: {known or 'none'}); "
                "run 'edge engines store activate ID'"
            )
        folder = self.root / "entries" / identity
        entry = verify(folder, self.keys, here)
        if entry.name != name:
            raise StoreError(f"{folder}: is an engine '{entry.name}', not '{name}'; activate the right one")
        return folder / MANIFEST

    def earlier(self, name: str, here: Target | None = None) -> Path | None:
        """Manifest of what was active before and still verifies, newest first; None: nothing."""
        for identity in self._shelf.before(name, self.active_id(name)):
            folder = self.root / "entries" / identity
            with contextlib.suppress(StoreError):
                verify(folder, self.keys, here)
                return folder / MANIFEST
        return None

    def activate(
        self, identity: str, here: Target | None = None, *, even_if_worse: bool = False, why: str = ""
    ) -> Stored:
        """Verifies an entry and makes it the one that lines load at their next start.

        Raises StoreError: it does not verify, or got fewer of the same golden set right than the active one.
        """
        stored = self.find(identity)
        entry = verify(stored.folder, self.keys, here)
        if not even_if_worse:
            self._check_golden(stored)
        with self._shelf.locked("active", fcntl.LOCK_EX):
            self._shelf.switch(entry.name, stored.id, [*self.history(entry.name), stored.id], why)
        return stored

    def rollback(self, name: str, here: Target | None = None, *, why: str = "") -> Stored:
        """Makes the engine active that was so before and still verifies. Raises StoreError: there is none."""
        refused = []
        with self._shelf.locked("active", fcntl.LOCK_EX):
            for identity, history in self._shelf.ways_back(name):
                folder = self._shelf.entry(identity)
                try:
                    entry = verify(folder, self.keys, here)
                except StoreError as error:
                    refused.append(str(error))
                    continue
                self._shelf.switch(name, identity, history, why or "rollback")
                return Stored(identity, folder, entry)
        raise StoreError(
            f"store:{name}: nothing to roll back to ({'; '.join(refused) or 'no other engine was active before'}); "
            "activate another entry"
        )

    def history(self, name: str) -> list[str]:
        """Ids that were active, oldest first."""
        return self._shelf.history(name)

    def collect(self, keep: int = 2) -> list[str]:
        """Removes entries that are neither active, nor among the last ``keep`` active before, nor newer than those.

        Raises StoreError: a build is going on.
        """
        with self._shelf.locked("store", fcntl.LOCK_EX), self._shelf.locked("active", fcntl.LOCK_EX):
            entries = self.entries()
            kept = set()
            for name in {item.entry.name for item in entries}:
                before = list(dict.fromkeys(reversed(self.history(name))))
                active = self.active_id(name)
                kept |= {active, *[item for item in before if item != active][:keep]}
                since = [item.entry.created for item in entries if item.id == active]
                kept |= {
                    i.id
                    for i in entries
                    if i.entry.name == name and (not since or i.entry.created > since[0])
                }
            removed = [item.id for item in entries if item.id not in kept]
            for identity in removed:
                self._shelf.remove(identity)
            self._shelf.sweep()
        return removed

    def _check_golden(self, new: Stored) -> None:
        active = self.active_id(new.entry.name)
        old = next((item.entry.measured for item in self.entries() if item.id == active), None)
        found = new.entry.measured
        if old is None or old.golden_accuracy is None or old.golden_sha256 != found.golden_sha256:
            return
        if (found.golden_accuracy or 0.0) < old.golden_accuracy - _GOLDEN_TOLERANCE:
            raise StoreError(
                f"{new.id}: {found.golden_accuracy:.2%} of the golden set, the active engine has "
                f"{old.golden_accuracy:.2%}; expected no less: look at its precision plan, or give --even-if-worse"
            )
