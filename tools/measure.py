"""How good and how fast an engine is, on rendered parts, in ONNX Runtime with one thread."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tools.twin.parts import CLASSES, DEFECTS, FLAWLESS

Scores = NDArray[np.float32]


def open_session(path: Path) -> ort.InferenceSession:
    """One thread, CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def score(path: Path, images: NDArray[np.float32]) -> Scores:
    """N×classes probabilities, part by part as on the line."""
    session = open_session(path)
    return np.concatenate([session.run(["scores"], {"image": image[None]})[0] for image in images])


def accuracy(scores: Scores, labels: NDArray[np.int64]) -> float:
    """Share of parts whose highest score is their class."""
    return float((scores.argmax(1) == labels).mean())


def escape_rate(scores: Scores, labels: NDArray[np.int64]) -> float:
    """Share of the defective parts whose highest score is "flawless"."""
    return float((scores[np.isin(labels, DEFECTS)].argmax(1) == FLAWLESS).mean())


def confusion(scores: Scores, labels: NDArray[np.int64], classes: int = len(CLASSES)) -> NDArray[np.int64]:
    """Rows: truth, columns: highest score."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, scores.argmax(1)), 1)
    return table


def latencies_ms(paths: Sequence[Path], image: NDArray[np.float32], runs: int = 300) -> NDArray[np.float64]:
    """runs×paths, in alternation, so that a busy machine disturbs all alike; a tenth is run before, unseen."""
    sessions = [open_session(path) for path in paths]
    return in_turn_ms([partial(session.run, ["scores"], {"image": image}) for session in sessions], runs)


def in_turn_ms(calls: Sequence[Callable[[], object]], runs: int) -> NDArray[np.float64]:
    """runs×calls, one after the other; a tenth is run before, unseen."""
    times = np.empty((runs + runs // 10, len(calls)))
    for row in times:
        for column, call in enumerate(calls):
            start = time.perf_counter_ns()
            call()
            row[column] = (time.perf_counter_ns() - start) / 1e6
    return times[runs // 10 :]


def card(scores: Scores, labels: NDArray[np.int64]) -> str:
    """Markdown for the model card: confusion, recall per class, and the tail that makes escapes."""
    table = confusion(scores, labels)
    lines = [
        "| truth \\ verdict | " + " | ".join(CLASSES) + " | recall |",
        "| --- " * (len(CLASSES) + 2) + "|",
    ]
    for name, row, hit in zip(CLASSES, table, table.diagonal(), strict=True):
        lines.append(
            f"| {name} | " + " | ".join(map(str, row)) + f" | {100 * hit / max(1, row.sum()):.1f} % |"
        )
    good = scores[np.isin(labels, DEFECTS), FLAWLESS]
    lines += ["", "| p(flawless) ≥ | defective parts | flawless parts |", "| --- | --- | --- |"]
    for limit in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999):
        kept = scores[labels == FLAWLESS, FLAWLESS] >= limit
        missed = f"{int((good >= limit).sum())} of {len(good)}"
        lines.append(f"| {limit} | {missed} | {100 * kept.mean():.1f} % of {len(kept)} |")
    return "\n".join(lines)
