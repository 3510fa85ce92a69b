"""One file to carry a bundle from machine to machine. Whoever made it is believed only after the signature."""

import io
import stat
import zipfile
from pathlib import Path

from edge.errors import RecipeError
from edge.recipes.bundle import BUNDLE, MOST_FILES, RECIPE_SEAL, SEAL, StoredRecipe, read_bundle
from edge.recipes.store import RecipeStore
from engines.errors import StoreError
from engines.whole_file import write_whole

_MOST_HEAD_BYTES = 1 << 20
"""Of bundle.json and of its seal."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def export(stored: StoredRecipe, path: Path) -> None:
    """Writes a zip whole or not at all; the same bundle gives the same bytes. Raises RecipeError."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in (BUNDLE, SEAL, *sorted(stored.bundle.files)):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), (stored.folder / name).read_bytes())
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise RecipeError(f"{path}: cannot be written ({error.strerror}); nothing was left there") from error


def import_file(store: RecipeStore, path: Path) -> StoredRecipe:
    """Into the store, not active. Nothing is written before signature, names, sizes and hashes are right.

    Raises RecipeError: not such a file, not signed by a trusted key, or not as it was signed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            places = _places(archive, path)
            content, seal = (_read(archive, places, name, _MOST_HEAD_BYTES, path) for name in (BUNDLE, SEAL))
            store.keys.check_seal(seal, content, str(path), RECIPE_SEAL)
            bundle = read_bundle(content, str(path))
            if strange := sorted(places.keys() - bundle.files.keys() - {BUNDLE, SEAL}):
                raise RecipeError(f"{path}: holds {strange[0]!r}, which nobody signed; {RECIPE_SEAL.mend}")
            files = {
                name: _read(archive, places, name, fact.size, path) for name, fact in bundle.files.items()
            }
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot be read ({error.strerror}); expected a file of 'edge recipe export'"
        ) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise RecipeError(f"{path}: {error}; expected a file of 'edge recipe export', whole") from error
    except StoreError as error:
        raise RecipeError(str(error)) from error
    return store.put(content, seal, files, str(path))


def _places(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Names are only compared with signed ones, never used as paths; links and the like are refused all the same."""
    infos = archive.infolist()
    if len(infos) > MOST_FILES + 2:
        raise RecipeError(f"{path}: {len(infos)} files found, a recipe has {MOST_FILES + 2} at most")
    places = {info.filename: info for info in infos}
    if len(places) < len(infos):
        raise RecipeError(f"{path}: holds one name twice; {RECIPE_SEAL.mend}")
    for name, info in places.items():
        mode = info.external_attr >> 16
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            raise RecipeError(f"{path}: {name!r} is no ordinary file; {RECIPE_SEAL.mend}")
    return places


def _read(
    archive: zipfile.ZipFile, places: dict[str, zipfile.ZipInfo], name: str, most: int, path: Path
) -> bytes:
    """Never more than it may be, whatever the archive claims about its size."""
    info = places.get(name)
    if info is None:
        raise RecipeError(f"{path}: {name} is missing; expected a file of 'edge recipe export', whole")
    with archive.open(info) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise RecipeError(f"{path}: {name} is larger than {most} bytes; {RECIPE_SEAL.mend}")
    return content
