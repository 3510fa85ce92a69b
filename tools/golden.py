"""Make a golden set: parts that an engine must get right, as the inputs that the preprocess of the line makes."""

import argparse
import io
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from rich.progress import track

from calibration.predictions import LabelledFrame
from edge import _core
from edge.config import engine_path
from edge.inspection.engines import preprocess_of
from engines.manifest import load_manifest
from engines.whole_file import write_whole
from tools.command import run_job
from tools.evaluate.frames import manifest_frames, manifest_rows, twin_frames

NAMESPACE = "golden"
"""Of the twin's seeds: nobody trains, fits or certifies with these parts."""


def inputs_of(frames: Iterable[LabelledFrame], preprocess: _core.Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """``pictures`` float32 (n, channels, height, width), ``labels`` int64 (n,)."""
    pictures, labels = [], []
    for frame in frames:
        picture = np.empty(preprocess.shape, np.float32)
        place = (frame.width, frame.height, frame.stride, frame.pixel_format)
        preprocess.into(frame.pixels, *place, picture)
        pictures.append(picture[0])
        labels.append(frame.class_id)
    return np.stack(pictures), np.array(labels)


def make(options: argparse.Namespace) -> dict[str, object]:
    """Writes the set and says what is in it."""
    manifest = load_manifest(engine_path(options.engine))
    if options.data:
        rows = manifest_rows(Path(options.data), manifest.classes, options.split)
        frames: Iterable[LabelledFrame] = islice(manifest_frames(rows), options.parts)
        parts = min(options.parts, len(rows))
    else:
        frames, parts = twin_frames(options.parts, options.seed, NAMESPACE), options.parts
    told = track(frames, "golden set", total=parts, transient=True)
    pictures, labels = inputs_of(told, preprocess_of(manifest, None))
    content = io.BytesIO()
    np.savez(content, pictures=pictures, labels=labels)
    write_whole(options.out, content.getvalue())
    counts = np.bincount(labels, minlength=len(manifest.classes)).tolist()
    return {"file": str(options.out), "parts": dict(zip(manifest.classes, counts, strict=True))}


def main() -> None:
    """Entry of ``python -m tools.golden``."""
    parser = argparse.ArgumentParser(prog="tools.golden", description=__doc__)
    parser.add_argument("engine", help="manifest whose input and classes are meant, or shipped:gate")
    parser.add_argument("--out", type=Path, required=True, help="SET.npz")
    parser.add_argument(
        "--data", help="CSV of pictures with the columns path and class; left out: the twin's parts"
    )
    parser.add_argument("--split", default=None)
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    run_job("golden", lambda: make(options), "from the beginning")


if __name__ == "__main__":
    main()
