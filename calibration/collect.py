"""Pictures of a defect, taken over; where each is from stays with it.

A folder of pictures named by what they show (SHA-256), and ``collected.csv`` with a row for each. A picture that is
there is not taken twice; what a power cut left without its row gets it from the next run.
"""

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from calibration.errors import CalibrationError
from calibration.work import now
from engines.whole_file import write_whole

INDEX = "collected.csv"


@dataclass(frozen=True)
class Found:
    """A picture as it is offered."""

    content: bytes
    suffix: str
    group: str
    """The physical part."""
    origin: str
    """Where it is from, in words."""
    was: str = ""
    """What the line said about it."""
    pixel_format: str = ""


@dataclass(frozen=True)
class Row:
    """One line of ``collected.csv``: columns of a data set's manifest, and where the picture is from."""

    path: str
    label: str
    group: str
    origin: str
    was: str
    pixel_format: str
    time: str


_COLUMNS = {"label": "class", "pixel_format": "format"}
"""Field → column, where they differ."""


@dataclass(frozen=True)
class Taken:
    """What became of the offers."""

    added: int = 0
    known: int = 0
    """The very same picture is there already."""


def take(folder: Path, label: str, who: str, offers: Iterable[Found], most: int = 1000) -> Taken:
    """Adds offers to a folder, in order, until ``most`` were added. Raises CalibrationError: disk, broken index."""
    rows = {row.path: row for row in read_index(folder)}
    added = known = 0
    for offer in offers:
        name = f"{hashlib.sha256(offer.content).hexdigest()[:16]}{offer.suffix}"
        if name in rows:
            known += 1
            continue
        row = Row(name, label, offer.group, f"{offer.origin}, by {who}", offer.was, offer.pixel_format, now())
        rows[name] = row
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / name, offer.content)
            write_whole(folder / INDEX, _as_csv(rows.values()))
        except OSError as error:
            raise CalibrationError(
                f"{folder}: no room for the next picture ({error.strerror}) after {added}; make room and run the same "
                "command again"
            ) from error
        added += 1
        if added >= most:
            break
    return Taken(added, known)


def read_index(folder: Path) -> list[Row]:
    """Empty: nothing was collected here. Raises CalibrationError: not what ``take`` wrote."""
    path = folder / INDEX
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Row(**{f.name: row[_COLUMNS.get(f.name, f.name)] for f in fields(Row)})
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, csv.Error, UnicodeDecodeError) as error:
        raise CalibrationError(
            f"{path}: cannot be read ({error}); expected what 'edge calibrate collect' wrote: move it aside"
        ) from error


def _as_csv(rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([_COLUMNS.get(f.name, f.name) for f in fields(Row)])
    writer.writerows(list(asdict(row).values()) for row in rows)
    return text.getvalue()
