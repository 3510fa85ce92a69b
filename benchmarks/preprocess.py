"""Preprocess against the usual chain (OpenCV + NumPy) and against ``cv2.dnn.blobFromImage``.

``python benchmarks/preprocess.py [--rounds N] [--cv-threads N] [--json FILE]``. The contenders alternate within one
process, so that a busy machine slows them alike; look at the ratios first. One OpenCV thread unless told otherwise
(0: OpenCV's own choice): the loop has one core, the others belong to the engine and the PLC link.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from edge._core import FlatField, PixelFormat, Preprocess

Pixels = NDArray[np.uint8]
Contender = Callable[[], object]

MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)
CHANNELS = {PixelFormat.MONO8: 1, PixelFormat.BAYER_RG8: 3, PixelFormat.BGR8: 3, PixelFormat.BGRA8: 3}
SAMPLES = {PixelFormat.MONO8: 1, PixelFormat.BAYER_RG8: 1, PixelFormat.BGR8: 3, PixelFormat.BGRA8: 4}
# Before and after the resize: the channel order is swapped on the small picture, which is the cheaper way.
CONVERSIONS: dict[PixelFormat, tuple[int | None, int | None]] = {
    PixelFormat.MONO8: (None, None),
    PixelFormat.BAYER_RG8: (cv2.COLOR_BayerRGGB2RGB, None),
    PixelFormat.BGR8: (None, cv2.COLOR_BGR2RGB),
    PixelFormat.BGRA8: (None, cv2.COLOR_BGRA2RGB),
}
INTERPOLATION = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


@dataclass(frozen=True)
class Case:
    """One frame and what becomes of it."""

    pixel_format: PixelFormat
    width: int
    height: int
    side: int
    resize: str


CASES = (
    *(
        Case(pixel_format, 1920, 1200, 224, resize)
        for pixel_format in PixelFormat
        for resize in INTERPOLATION
    ),
    Case(PixelFormat.BAYER_RG8, 640, 480, 128, "area"),
    Case(PixelFormat.BAYER_RG8, 640, 480, 160, "area"),
)


@dataclass(frozen=True)
class Row:
    """Milliseconds of one contender in one case; ``ratio`` is its median over ours."""

    pixel_format: str
    frame: str
    side: int
    resize: str
    contender: str
    median_ms: float
    p99_ms: float
    ratio: float


def picture(case: Case) -> Pixels:
    """A smooth scene with sensor noise, height x width or height x width x samples."""
    rng = np.random.default_rng(7)
    samples = SAMPLES[case.pixel_format]
    small = rng.integers(30, 220, (12, 16, samples), dtype=np.uint8)
    scene = cv2.resize(small, (case.width, case.height), interpolation=cv2.INTER_CUBIC)
    scene = scene.reshape(case.height, case.width, samples)
    noisy = scene.astype(np.int16) + rng.integers(-6, 7, scene.shape, dtype=np.int16)
    return np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8).squeeze())


def ours(case: Case, pixels: Pixels, flat_field: FlatField | None = None) -> Contender:
    """The native preprocess into a buffer of its own."""
    preprocess = Preprocess(
        out_width=case.side,
        out_height=case.side,
        channels=CHANNELS[case.pixel_format],
        mean=MEAN.tolist(),
        std=STD.tolist(),
        resize=case.resize,
        flat_field=flat_field,
    )
    out = np.zeros(preprocess.shape, np.float32)
    flat = pixels.reshape(-1)
    stride = case.width * SAMPLES[case.pixel_format]
    return lambda: preprocess.into(flat, case.width, case.height, stride, case.pixel_format, out)


def evening(pixels: Pixels) -> FlatField:
    """A map of noise for this frame: every sample has its own correction."""
    rng = np.random.default_rng(9)
    return FlatField(
        dark=rng.integers(0, 2560, pixels.shape, np.uint16),
        gain=rng.integers(14000, 20000, pixels.shape, np.uint16),
    )


def chain(case: Case, pixels: Pixels) -> Contender:
    """Convert, resize, float, normalise, transpose: what most deployments do."""
    before, after = CONVERSIONS[case.pixel_format]
    count = CHANNELS[case.pixel_format]

    def run() -> object:
        frame = pixels if before is None else cv2.cvtColor(pixels, before)
        small = cv2.resize(frame, (case.side, case.side), interpolation=INTERPOLATION[case.resize])
        ordered = small if after is None else cv2.cvtColor(small, after)
        grey = ordered.astype(np.float32).reshape(case.side, case.side, count)
        normalised = (grey / np.float32(255) - MEAN[:count]) / STD[:count]
        return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])

    return run


def blob(case: Case, pixels: Pixels) -> Contender:
    """``blobFromImage``: always bilinear, one scale for all channels, keeps the alpha plane of BGRA."""

    def run() -> object:
        frame = (
            cv2.cvtColor(pixels, cv2.COLOR_BayerRGGB2BGR)
            if case.pixel_format is PixelFormat.BAYER_RG8
            else pixels
        )
        colour = case.pixel_format is not PixelFormat.MONO8
        return cv2.dnn.blobFromImage(frame, 1 / 58.0, (case.side, case.side), (124, 116, 104), swapRB=colour)

    return run


def measure(case: Case, rounds: int) -> list[Row]:
    """Alternates the contenders; blobFromImage takes part where it does the same resize."""
    pixels = picture(case)
    contenders: dict[str, Contender] = {
        "edge": ours(case, pixels),
        "edge, flat field": ours(case, pixels, evening(pixels)),
        "opencv+numpy": chain(case, pixels),
    }
    if case.resize == "bilinear":
        contenders["blobFromImage"] = blob(case, pixels)
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 3):
        for name, run in contenders.items():
            start = time.perf_counter_ns()
            run()
            if turn >= 3:  # warm
                taken[name].append((time.perf_counter_ns() - start) / 1e6)
    base = float(np.median(taken["edge"]))
    frame = f"{case.width}x{case.height}"
    return [
        Row(
            pixel_format=case.pixel_format.name,
            frame=frame,
            side=case.side,
            resize=case.resize,
            contender=name,
            median_ms=round(float(np.median(times)), 4),
            p99_ms=round(float(np.quantile(times, 0.99)), 4),
            ratio=round(float(np.median(times)) / base, 2),
        )
        for name, times in taken.items()
    ]


def show(rows: list[Row]) -> None:
    """One line for each contender."""
    table = Table(title="preprocess, one frame")
    for heading in ("format", "frame", "to", "resize", "contender", "median ms", "p99 ms", "ratio"):
        table.add_column(heading, justify="right" if heading in {"median ms", "p99 ms", "ratio"} else "left")
    for row in rows:
        table.add_row(
            row.pixel_format,
            row.frame,
            f"{row.side}²",
            row.resize,
            row.contender,
            f"{row.median_ms:.3f}",
            f"{row.p99_ms:.3f}",
            f"{row.ratio:.2f}",
            end_section=row is rows[-1] or rows[rows.index(row) + 1].contender == "edge",
        )
    Console(width=110).print(table)


def main() -> None:
    """Measures every case, prints the table, writes the JSON if asked to."""
    parser = argparse.ArgumentParser(description="preprocess against OpenCV")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--cv-threads", type=int, default=1, help="0: OpenCV's own choice")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(options.cv_threads if options.cv_threads > 0 else -1)
    rows = [row for case in CASES for row in measure(case, options.rounds)]
    show(rows)
    if options.json is not None:
        report = {"opencv": cv2.__version__, "opencv_threads": cv2.getNumThreads(), "rounds": options.rounds}
        options.json.write_text(json.dumps(report | {"rows": [asdict(row) for row in rows]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
