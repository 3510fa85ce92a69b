"""What a bundle is: ``bundle.json``, signed as a whole, and the files that it names.

``recipe.yaml`` decides; ``gate/`` and ``classifier/`` hold the engines, each with its manifest ``engine.yaml``.
"""

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from edge.camera.settings import Roi
from edge.errors import RecipeError
from edge.inspection.certificate import Sha256, certificate_state, decides_hash
from edge.inspection.recipe import Recipe
from edge.inspection.settings import ExposureSettings, RecipeConfig
from edge.settings import Settings
from edge.yaml_file import load_yaml
from engines.store.entry import FileFact, sha256
from engines.store.folder import ENTRY, SIGNATURE
from engines.store.keys import Purpose

BUNDLE, SEAL, RECIPE, ENGINE = "bundle.json", "bundle.sig", "recipe.yaml", "engine.yaml"
RECIPE_SEAL = Purpose(
    b"edge recipe bundle 1\x00",
    "export it again where it was made, or go back with 'edge recipe rollback'",
)
ROLES = ("gate", "classifier")
MOST_FILES = 16
MOST_BYTES = 1 << 30
NAME = r"^[a-z0-9][a-z0-9_.-]{0,60}$"
_FILE = r"^(gate/|classifier/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,100}$"
"""No absolute path, no way up, no folder but the two."""

FileName = Annotated[str, Field(pattern=_FILE)]


class BundledRecipe(Recipe):
    """A recipe with what else belongs to the product: which part of the frame, and how it must be lit."""

    roi: Roi | None = None
    exposure: ExposureSettings = ExposureSettings()


class Bundle(Settings):
    """``bundle.json``."""

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str = Field(pattern=NAME)
    created: datetime.datetime
    made_by: str
    why: str = ""
    engines: dict[Annotated[str, Field(pattern="^(gate|classifier)$")], Sha256]
    """Role → SHA-256 of the model."""
    files: dict[FileName, FileFact] = Field(min_length=3, max_length=MOST_FILES)

    @model_validator(mode="after")
    def _is_whole(self) -> "Bundle":
        wanted = {RECIPE, *(f"{role}/{ENGINE}" for role in self.engines)}
        if "gate" not in self.engines or not wanted <= self.files.keys():
            raise ValueError(
                f"files are {sorted(self.files)}; expected a gate, and {sorted(wanted)} among them"
            )
        if {BUNDLE, SEAL} & self.files.keys():
            raise ValueError(f"files name {BUNDLE} or {SEAL}; expected what these two seal")
        if self.bytes > MOST_BYTES:
            raise ValueError(f"files are {self.bytes >> 20} MiB; expected {MOST_BYTES >> 20} MiB or less")
        return self

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(fact.size for fact in self.files.values())


@dataclass(frozen=True)
class StoredRecipe:
    """A bundle on this machine; ``RecipeStore`` hands out verified ones."""

    id: str
    folder: Path
    bundle: Bundle

    @property
    def recipe(self) -> BundledRecipe:
        """What decides. Raises ConfigError."""
        return load_yaml(self.folder / RECIPE, BundledRecipe)

    def engine(self, role: str) -> Path | None:
        """Manifest of an engine; None: the recipe has none for this role."""
        return self.folder / role / ENGINE if role in self.bundle.engines else None

    def config(self, number: int) -> RecipeConfig:
        """As the inspection process is told it. Raises ConfigError."""
        recipe = self.recipe
        gate = self.engine("gate")
        assert gate is not None  # Bundle makes sure
        return RecipeConfig(
            number=number,
            stored=self.id,
            gate=gate,
            classifier=self.engine("classifier"),
            **{name: getattr(recipe, name) for name in RecipeConfig.model_fields if hasattr(recipe, name)},
        )

    @property
    def certificate_state(self) -> str:
        """``none``, ``holds`` or what does not match."""
        recipe = self.recipe
        decides = decides_hash(recipe.routing, recipe.scores, recipe.retest, recipe.rules)
        return certificate_state(recipe.certificate, self.bundle.engines, decides, recipe.exposure)


def bundle_id(name: str, content: bytes) -> str:
    """From what was signed: the same content is the same bundle."""
    return f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"


def read_bundle(content: bytes, what: str) -> Bundle:
    """Raises RecipeError: not a bundle."""
    try:
        return Bundle.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(
            f"{what}: {'.'.join(map(str, first['loc'])) or BUNDLE}: {first['msg']}; {RECIPE_SEAL.mend}"
        ) from error


def check_files(bundle: Bundle, files: Mapping[str, bytes], what: str) -> None:
    """Every named file is there as it was signed, and none besides. Raises RecipeError."""
    if strange := sorted(files.keys() - bundle.files.keys()):
        raise RecipeError(f"{what}: holds {', '.join(strange)}, which nobody signed; {RECIPE_SEAL.mend}")
    for name, fact in bundle.files.items():
        content = files.get(name)
        if content is None:
            raise RecipeError(f"{what}: {name} is missing; {RECIPE_SEAL.mend}")
        found = FileFact(sha256=sha256(content), size=max(1, len(content)))
        if found != fact:
            raise RecipeError(
                f"{what}: {name}: {len(content)} bytes with SHA-256 {found.sha256[:16]}…, signed were {fact.size} with "
                f"{fact.sha256[:16]}…; {RECIPE_SEAL.mend}"
            )


__all__ = ["ENTRY", "SIGNATURE", "Bundle", "BundledRecipe", "StoredRecipe"]
