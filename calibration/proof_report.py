"""The proof as a person reads it: Markdown, HTML and a contact sheet of the pictures that matter."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.pictures import Picture, as_bgr, read_frame
from calibration.prove import Proof

_TILE = 200
_COLUMNS = 6
_CAPTION = 34


def markdown(name: str, proofs: Sequence[Proof], facts: Mapping[str, Any]) -> str:
    """One document for all engines of the lesson."""
    lines = [f"# New defect type '{name}'", ""]
    refused = [f"{proof.role}: {why}" for proof in proofs for why in proof.refused]
    lines += ["**Refused.**", "", *[f"- {why}" for why in refused]] if refused else ["**May run.**"]
    for proof in proofs:
        low, high = proof.new_recall_interval
        lines += [
            "",
            f"## {proof.role}",
            "",
            f"- new class: {100 * proof.new_recall:.1f} % of {proof.new_parts} parts found (95 %: {100 * low:.1f} to "
            f"{100 * high:.1f} %), from {proof.new_recall_from}",
            f"- old classes: {proof.old_delta_points:+.2f} points (95 %: {proof.old_delta_interval[0]:+.2f} to "
            f"{proof.old_delta_interval[1]:+.2f})",
            f"- escapes {proof.escapes[0]} of {proof.escapes[1]}, overkill {proof.overkill[0]} of {proof.overkill[1]}",
            "",
            "| class | parts | right before | after | recall, 95 % | escapes before → after | lost | won |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {row.name} | {row.parts} | {row.right_before} | {row.right_after} | {100 * row.recall_low:.1f} … "
            f"{100 * row.recall_high:.1f} % | {row.escapes_before} → {row.escapes_after} | {row.lost} | {row.won} |"
            for row in proof.classes
        ]
    lines += ["", "## Facts", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    return "\n".join(lines) + "\n"


def as_html(text: str, sheet: str) -> str:
    """The Markdown in a page that needs nothing else."""
    return (
        "<!doctype html><meta charset=utf-8><title>proof</title><body style='font:16px sans-serif;max-width:70em'>"
        f"<pre style='white-space:pre-wrap'>{html.escape(text)}</pre><img src='{html.escape(sheet)}' alt='pictures'>"
    )


def contact_sheet(entries: Sequence[tuple[Picture, str]], most: int = 48) -> NDArray[np.uint8]:
    """(height, width, 3) BGR: each picture with what is to be said about it."""
    tiles = [_tile(picture, caption) for picture, caption in entries[:most]]
    blank = np.full((_TILE + _CAPTION, _TILE, 3), 255, np.uint8)
    while not tiles or len(tiles) % _COLUMNS:
        tiles.append(blank)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    return np.asarray(np.vstack(rows), np.uint8)


def _tile(picture: Picture, caption: str) -> NDArray[np.uint8]:
    tile = np.full((_TILE + _CAPTION, _TILE, 3), 255, np.uint8)
    try:
        shown = as_bgr(*read_frame(picture))
    except CalibrationError:
        shown = np.full((8, 8, 3), 200, np.uint8)
    scale = min((_TILE - 4) / shown.shape[1], (_TILE - 4) / shown.shape[0])
    size = max(1, int(shown.shape[1] * scale)), max(1, int(shown.shape[0] * scale))
    small = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
    tile[2 : 2 + size[1], 2 : 2 + size[0]] = small
    for row, text in enumerate((caption[:30], picture.path.name[-30:])):
        cv2.putText(
            tile, text, (3, _TILE + 12 + 15 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA
        )
    return tile
