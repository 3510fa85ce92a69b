"""Curves and confusion as PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.errors import TrainError


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise TrainError("pictures need matplotlib: pip install 'edge-inspection[train]'") from error
    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save_figure(figure: Any, path: Path) -> None:
    """Writes under another name first; the picture in place is always whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished-{path.name}")
    figure.savefig(unfinished, dpi=110, bbox_inches="tight", format="png")
    unfinished.replace(path)
    _pyplot().close(figure)


def new_figure(width: float = 7, height: float = 4, **grid: Any) -> tuple[Any, Any]:
    """(figure, axes) in inches."""
    figure, axes = _pyplot().subplots(figsize=(width, height), **grid)
    return figure, axes


def curves(history: Sequence[dict[str, float]], path: Path, title: str) -> None:
    """Loss and validation accuracy over the epochs."""
    figure, left = new_figure()
    epochs = [entry["epoch"] for entry in history]
    left.plot(epochs, [entry["loss"] for entry in history], color="tab:red", label="loss (last batch)")
    left.set_xlabel("epoch")
    left.set_ylabel("loss")
    right = left.twinx()
    right.plot(epochs, [100 * entry["accuracy"] for entry in history], color="tab:blue", marker="o")
    right.set_ylabel("validation accuracy, %", color="tab:blue")
    left.set_title(title)
    save_figure(figure, path)


def confusion(table: NDArray[np.int64], classes: Sequence[str], path: Path, title: str) -> None:
    """Rows: truth; columns: highest score; colour by share of the row."""
    figure, axes = new_figure(1.2 * len(classes) + 1, len(classes))
    axes.imshow(table / np.maximum(1, table.sum(1, keepdims=True)), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*table.shape):
        share = table[row, column] / max(1, table[row].sum())
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, str(table[row, column]), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("verdict")
    axes.set_ylabel("truth")
    axes.set_title(title)
    save_figure(figure, path)
