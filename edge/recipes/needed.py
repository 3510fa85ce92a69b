"""Bundles that somebody may still ask for: parts in a journal were judged by them, or a line has them loaded."""

import datetime
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edge.config import LineConfig
from edge.errors import RecipeError
from edge.inspection.settings import STORED, InspectionConfig
from edge.recipes.bundle import StoredRecipe
from edge.records.journal.query import JournalReader
from edge.records.journal.settings import FILE_NAME, journal_path, state_folder
from edge.roles import stored_ids
from edge.service.state import SERVICES

_EVER = datetime.datetime.max.replace(tzinfo=datetime.timezone.utc)
_NEVER = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)


@dataclass(frozen=True)
class Needed:
    """What must stay."""

    ids: frozenset[str]
    unknown_until: datetime.datetime = _NEVER
    """Journals of older releases do not say what judged until then: all that was made before may have."""

    def __call__(self, stored: StoredRecipe) -> bool:
        """Whether this one must."""
        return stored.id in self.ids or stored.bundle.created < self.unknown_until


def needed(lines: Iterable[LineConfig]) -> Needed:
    """By the journals of this machine's lines and of ``lines``, by what these name, and by lines that run.

    Raises RecordError, RecipeError: one of them cannot be read; then nobody knows.
    """
    ids, until = set(running_ids()), _NEVER
    for config in lines:
        named = (config.recipe or "", *(STORED + text for text in config.recipes.values()))
        ids |= {text.removeprefix(STORED) for text in named if text.startswith(STORED)}
    for path in journals(lines):
        found, unknown = judged_in(path)
        ids |= found
        until = max(until, unknown)
    return Needed(frozenset(ids), until)


def journals(lines: Iterable[LineConfig]) -> set[Path]:
    """Those that are there."""
    places = {state_folder(), Path("/var/lib/edge"), Path.home() / ".local/state/edge"}
    found = {path for place in places for path in place.glob(f"*/{FILE_NAME}")}
    own = {journal_path(config.name, config.records.journal) for config in lines}
    return found | {path for path in own if path.is_file()}


def judged_in(journal: Path) -> tuple[set[str], datetime.datetime]:
    """Ids of its runs, and until when they are not known. Raises RecordError."""
    with JournalReader(journal) as reader:
        runs = reader.runs()
    ids: set[str] = set()
    until = _NEVER
    for run, after in zip(runs, [*runs[1:], None], strict=True):
        if run["recipes"] is None:
            until = datetime.datetime.fromisoformat(after["started"]) if after else _EVER
        else:
            ids |= {identity for _, _, identity in run["recipes"]}
    return ids, until


def running_ids() -> Iterator[str]:
    """Of lines that run here. Raises RecipeError: one was started by another release."""
    base = Path(os.environ.get("EDGE_RUN_DIR", "/dev/shm"))  # noqa: S108  (only looked at)
    for folder in (*SERVICES.glob("*"), *base.glob("edge-*")):
        told = folder / "inspection.json"
        if not (folder / "region").exists() or not told.is_file():
            continue
        try:
            config = InspectionConfig.model_validate_json(told.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise RecipeError(
                f"{told}: cannot be read ({error}); nobody knows what that line has loaded: stop it first"
            ) from error
        yield from (identity for _, _, identity in stored_ids(config))
