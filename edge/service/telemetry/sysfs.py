"""Small files of the kernel: what cannot be read is not there."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")


def glob(root: Path, pattern: str) -> list[Path]:
    """Paths below /sys, sorted."""
    return sorted((root / "sys").glob(pattern))


def text(path: Path) -> str | None:
    """Content without white space at its ends; None: not there, or not for us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def number(path: Path, scale: float = 1.0) -> float | None:
    """Content ÷ scale; None: no file, no number."""
    try:
        return float(text(path) or "") / scale
    except ValueError:
        return None


def by_name(found: Iterable[tuple[str, str, Found]]) -> dict[str, Found]:
    """(name, place, what) → by name; a name that comes again takes its place behind it, and a number if need be."""
    named: dict[str, Found] = {}
    for name, place, what in found:
        free, count = name, 1
        while free in named:
            free = f"{name} {place}" if count == 1 else f"{name} {place} {count}"
            count += 1
        named[free] = what
    return named
