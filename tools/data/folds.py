"""Who learns and who examines: whole groups, so that a physical part is never on both sides."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tools.errors import TrainError
from tools.training.sets import Row

TRAIN, VALIDATION = "train", "val"


def with_splits(rows: Sequence[Row], val_share: float, seed: int) -> list[Row]:
    """Rows without a split are dealt, group by group and class by class. Raises TrainError: only some have one."""
    blank = [row for row in rows if not row.split]
    if not blank:
        return list(rows)
    if len(blank) < len(rows):
        raise TrainError(
            f"line {blank[0].line} of the manifest: no split, but other lines have one; "
            "name train or val in every line or in none"
        )
    every = max(2, round(1 / val_share))
    dealt = deal(rows, every, seed)
    return [replace(row, split=VALIDATION if dealt[row.group] == 0 else TRAIN) for row in rows]


def deal(rows: Sequence[Row], folds: int, seed: int) -> dict[str, int]:
    """Fold of each group; classes are spread evenly. Raises TrainError: a class with fewer groups than folds."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row.group][row.label] += 1
    # A group of mixed labels counts for the one it shows most.
    label = {group: min(found, key=lambda name: (-found[name], name)) for group, found in counts.items()}
    for name in sorted({row.label for row in rows}):
        groups = sum(name in found for found in counts.values())
        if groups < folds:
            raise TrainError(
                f"class '{name}' has {groups} group(s), {folds} folds need at least {folds}: add parts, "
                "or ask for fewer folds"
            )
    order = sorted(counts, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())
    filled: Counter[tuple[str, int]] = Counter()
    fold_of = {}
    for group in order:
        fold = min(range(folds), key=lambda number: (filled[label[group], number], number))
        filled[label[group], fold] += sum(counts[group].values())
        fold_of[group] = fold
    return fold_of


def class_weights(labels: Sequence[str]) -> Mapping[str, float]:
    """1/√frequency, scaled so that the mean over the pictures is 1."""
    counts = Counter(labels)
    raw = {name: 1 / math.sqrt(count) for name, count in sorted(counts.items())}
    mean = sum(raw[name] * count for name, count in counts.items()) / len(labels)
    return {name: value / mean for name, value in raw.items()}
