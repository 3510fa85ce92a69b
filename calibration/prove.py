"""May the candidate run? Before and after on parts that taught nothing, class by class, and whether any got worse."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.bank import Bank
from calibration.taps import Head
from calibration.teach import scores_of
from engines.bounds import trials_needed, upper_bound
from engines.judge import Drop

LEAST_RECALL = 0.5
"""Of the new class: below it nothing was learned that is worth a change."""
MARGIN_POINTS = 0.5
"""What all old classes together, and each of them, may lose."""
_SEEN_PARTS = 10
"""So many parts the margin must be for cross-validation to keep within it."""


@dataclass(frozen=True)
class ClassRow:
    """One class on the exam. Bounds at 95 %, exact binomial, one-sided each."""

    name: str
    parts: int
    right_before: int
    right_after: int
    recall_low: float
    recall_high: float
    escapes_before: int
    """Called good although defective, or for the good class: always 0."""
    escapes_after: int
    lost: int
    won: int


@dataclass(frozen=True)
class Proof:
    """What the exam says about one engine."""

    role: str
    classes: tuple[ClassRow, ...]
    old_delta_points: float
    """After less before, on the old classes."""
    old_delta_interval: tuple[float, float]
    new_recall: float
    new_parts: int
    new_recall_interval: tuple[float, float]
    new_recall_from: str
    """``exam``: parts that taught nothing; ``cross-validation``: there were too few to keep any back."""
    escapes: tuple[int, int]
    """After: of defective parts."""
    overkill: tuple[int, int]
    """After: of good parts."""
    refused: tuple[str, ...]
    """Why it must not run; empty: it may."""
    lost_rows: tuple[int, ...]
    """Rows of the exam bank that the engine got right before and does not now."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def interval(successes: int, trials: int) -> tuple[float, float]:
    """Two one-sided 95 % bounds of a rate."""
    if not trials:
        return 0.0, 1.0
    return 1 - upper_bound(trials - successes, trials), upper_bound(successes, trials)


def prove(
    *,
    role: str,
    head: Head,
    exam: Bank,
    classes: Sequence[str],
    good: str,
    new_cv: tuple[int, int],
    golden: NDArray[np.bool_],
    margin_points: float = MARGIN_POINTS,
    replayed: int,
) -> Proof:
    """``exam``: rows that taught nothing, labels in ``classes``; ``new_cv``: (right, parts) by cross-validation, used
    where the exam has no part of the new class; ``golden``: rows of the exam that may not fail; ``replayed``: old parts
    that were learned with."""
    before = exam.logits.argmax(1) == exam.labels
    found = scores_of(head, exam.taps, exam.logits).argmax(1)
    after = found == exam.labels
    good_id = classes.index(good) if good in classes else -1
    rows = [
        _row(
            i,
            name=name,
            own=exam.labels == i,
            before=before,
            after=after,
            said=exam.logits.argmax(1),
            says=found,
            good=good_id,
        )
        for i, name in enumerate(classes)
    ]
    new = len(classes) - 1
    old = exam.labels != new
    drop = Drop.between(before[old], after[old]) if old.any() else Drop(0.0, 0.0, 0.0)
    right, parts = int(after[~old].sum()), int((~old).sum())
    source = "exam" if parts else "cross-validation"
    if not parts:
        right, parts = new_cv
    defective = exam.labels != good_id
    refused = [
        *_worse(rows[:-1], drop, margin_points, replayed),
        *_cannot_be_told(right, parts, classes[new]),
        *_golden_failures(golden & before, after, exam),
    ]
    return Proof(
        role,
        tuple(rows),
        -drop.points,
        (-drop.high, -drop.low),
        right / max(1, parts),
        parts,
        interval(right, parts),
        source,
        (int((defective & (found == good_id)).sum()), int(defective.sum())),
        (int((~defective & ~after).sum()), int((~defective).sum())),
        tuple(refused),
        tuple(int(i) for i in np.flatnonzero(old & before & ~after)),
    )


def _row(
    label: int,
    *,
    name: str,
    own: NDArray[np.bool_],
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    said: NDArray[np.int64],
    says: NDArray[np.int64],
    good: int,
) -> ClassRow:
    parts, right = int(own.sum()), int((own & after).sum())
    low, high = interval(right, parts)
    escaped, escapes = (0 if label == good else int((own & (what == good)).sum()) for what in (said, says))
    return ClassRow(
        name,
        parts,
        int((own & before).sum()),
        right,
        low,
        high,
        escaped,
        escapes,
        int((own & before & ~after).sum()),
        int((own & ~before & after).sum()),
    )


def _worse(rows: Sequence[ClassRow], drop: Drop, margin: float, replayed: int) -> list[str]:
    said = []
    if drop.points > margin:
        enough = math.ceil(_SEEN_PARTS * 100 / margin) if margin > 0 else replayed
        more = (
            f"; only {replayed} old parts were replayed, so cross-validation could hardly see it: list {enough} or "
            "more in --data"
        )
        said.append(
            f"the old classes lose {drop.points:.2f} points ({drop.low:.2f} to {drop.high:.2f}), allowed {margin:g}"
            + (more if replayed < enough else "")
        )
    for row in rows:
        net = row.lost - row.won
        if net > max(1, math.floor(margin / 100 * row.parts)):
            said.append(
                f"'{row.name}' gets worse: {row.right_before} → {row.right_after} of {row.parts} right, allowed "
                f"{margin:g} points or one part"
            )
    return said


def _cannot_be_told(right: int, parts: int, name: str) -> list[str]:
    if right >= LEAST_RECALL * parts:
        return []
    return [
        f"only {right} of {parts} parts of '{name}' are found: it cannot be told from the old classes; is it the right "
        "folder? (check.json) Else add pictures, or train on a workstation"
    ]


def _golden_failures(golden: NDArray[np.bool_], after: NDArray[np.bool_], exam: Bank) -> list[str]:
    failed = np.flatnonzero(golden & ~after)
    return [
        f"golden part {exam.paths[i]} ('{exam.classes[int(exam.labels[i])]}') fails: no candidate may"
        for i in failed[:10]
    ]


def golden_rows(exam: Bank, per_class: int = 20) -> NDArray[np.bool_]:
    """The surest right parts of every class: whoever fails these has broken something."""
    e = np.exp(exam.logits - exam.logits.max(1, keepdims=True))
    scores = e / e.sum(1, keepdims=True)
    chosen = np.zeros(len(exam), bool)
    right = scores.argmax(1) == exam.labels
    for label in np.unique(exam.labels):
        own = np.flatnonzero(right & (exam.labels == label))
        own = own[np.argsort(-scores[own, label], kind="stable")]
        chosen[own[: min(per_class, len(own) // 4)]] = True
    return chosen


def data_supports(escapes: int, defective: int) -> str:
    """What may be certified with these parts, in words."""
    if not defective:
        return "no defective part in the exam: no escape rate can be certified"
    bound = upper_bound(escapes, defective)
    return (
        f"{escapes} escapes of {defective} defective parts: at most {100 * bound:.2f} % at 95 % confidence without "
        f"thresholds; 0.1 % needs {trials_needed(0.001)} defective parts without one ('edge calibrate thresholds')"
    )


def in_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph and weights without rounding of activations: what INT8 costs is the difference."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    rounded = {n.output[0]: n.input[0] for n in out.graph.node if n.op_type == "QuantizeLinear"}
    same: dict[str, str] = {}
    for node in out.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in rounded:
            same[node.output[0]] = rounded[node.input[0]]

    def origin(name: str) -> str:
        while name in same:
            name = same[name]
        return name

    kept = [
        node
        for node in out.graph.node
        if node.op_type != "QuantizeLinear"
        and not (node.op_type == "DequantizeLinear" and node.output[0] in same)
    ]
    for node in kept:
        for index, name in enumerate(node.input):
            node.input[index] = origin(name)
    del out.graph.node[:], out.graph.value_info[:]
    out.graph.node.extend(kept)
    return out
