"""A line that drifts is noticed and one that does not is left alone; parts worth a label wait, bounded, on disk."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.bank import Bank
from calibration.drift import compare, propose
from calibration.errors import CalibrationError
from calibration.queue import Asked, Novelty, Queue, Relabel, relabel, worth_of


def bank(parts: int, seed: int, darker: float = 0.0) -> Bank:
    rng = np.random.default_rng(seed)
    floats = {
        name: rng.normal(0.5, 0.1, parts).astype(np.float32) for name in ("dark", "bright", "sharpness")
    }
    return Bank(
        backbone="a",
        classes=("good", "bad"),
        taps=rng.normal(0, 1, (parts, 30)).astype(np.float32) - np.float32(darker),
        logits=np.zeros((parts, 2), np.float32),
        labels=np.zeros(parts, np.int64),
        exam=np.zeros(parts, bool),
        groups=np.array([str(i) for i in range(parts)]),
        paths=np.array([f"{i}.png" for i in range(parts)]),
        formats=np.array([""] * parts),
        brightness=rng.normal(110, 5, parts).astype(np.float32) - np.float32(20 * darker),
        hashes=np.zeros((parts, 32), np.uint8),
        sizes=np.full((parts, 2), 100),
        **floats,
    )


def test_drift_is_noticed_and_no_drift_is_not() -> None:
    then = bank(300, 1)
    alarms = [bool(compare(then, bank(100, seed)).moved) for seed in range(2, 42)]
    assert sum(alarms) <= 1
    drift = compare(then, bank(100, 2, darker=1.0))
    assert drift.moved[0].signal == "brightness"
    assert drift.moved[0].after < drift.moved[0].before
    with pytest.raises(CalibrationError, match="different engines"):
        compare(then, replace(bank(100, 2), backbone="b"))
    with pytest.raises(CalibrationError, match="at least 20"):
        compare(then, bank(5, 2))


def test_proposed_samples_are_strange_and_differ() -> None:
    today = bank(100, 2)
    today.taps[7] += 6
    today.taps[8] = today.taps[7]
    chosen = propose(bank(300, 1), today, 5)
    assert len(set(chosen)) == 5
    assert len({7, 8} & set(chosen)) == 1, "the same part twice teaches nothing"


def test_the_queue_keeps_the_worthiest(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue", most=3)
    for number, worth in enumerate((0.6, 0.9, 0.7, 0.8)):
        queue.add(Asked(f"part/{number}", f"{number}.png", worth, "uncertain", (0.5, 0.5)))
    assert [asked.worth for asked in queue.waiting()] == [0.9, 0.8, 0.7]
    assert not queue.add(Asked("5", "5.png", 0.1, "novel", (1.0, 0.0)))


def test_what_is_worth_a_label() -> None:
    sure, other = np.array([0.99, 0.01], np.float32), np.array([0.02, 0.98], np.float32)
    assert worth_of(sure, sure, 0.5) is None
    assert worth_of(sure, other, 0.5) == (pytest.approx(0.99), "disagree")
    assert (worth_of(np.array([0.52, 0.48], np.float32), None, 0.0) or (0, ""))[1] == "uncertain"
    known = np.random.default_rng(1).normal(0, 1, (500, 20)).astype(np.float32)
    strange = Novelty(known)(np.full(20, 9, np.float32))
    assert (worth_of(sure, sure, strange) or (0, ""))[1] == "novel"


def test_a_relabel_says_who_and_what_was(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("path,class,split,group\na.png,good,train,7\nb.png,bad,train,8\n")
    relabel(data, Relabel("a.png", "bad", "operator ann"))
    relabel(data, Relabel("c.png", "good", "operator ann"))
    rows = {row["path"]: row for row in csv.DictReader(data.open())}
    assert (rows["a.png"]["class"], rows["a.png"]["was"], rows["a.png"]["origin"]) == (
        "bad",
        "good",
        "operator ann",
    )
    assert (
        rows["a.png"]["group"] == "7" and rows["b.png"]["class"] == "bad" and rows["c.png"]["class"] == "good"
    )
