"""A candidate that loses old parts is refused, and the refusal says what would mend it."""

import numpy as np
import pytest

from calibration.bank import Bank
from calibration.prove import Proof, prove
from calibration.taps import Head

CLASSES = ("good", "crack", "new")


def exam(parts: int) -> Bank:
    """Old parts in turn good and cracked, all told apart by the old head; one tap that is 1 in every tenth part."""
    labels = np.arange(parts) % 2
    logits = np.where(labels[:, None] == np.arange(2), 4.0, -4.0).astype(np.float32)
    names = np.array([f"{i}.png" for i in range(parts)])
    zeros = np.zeros(parts, np.float32)
    return Bank(
        backbone="b", classes=CLASSES, taps=(np.arange(parts) % 10 == 0).astype(np.float32)[:, None], logits=logits,
        labels=labels, exam=np.ones(parts, np.bool_), groups=names, paths=names, formats=np.full(parts, ""),
        brightness=zeros, dark=zeros, bright=zeros, sharpness=zeros, hashes=np.zeros((parts, 32), np.uint8),
        sizes=np.zeros((parts, 2), np.int64),
    )  # fmt: skip


def judged(taken: float, replayed: int) -> Proof:
    """``taken``: weight of the tap for the new class; above 8 every tenth part is called new."""
    weights = np.array([[0, 1, 0], [0, 0, 1], [taken, 0, 0]], np.float32)
    head = Head(np.zeros(1, np.float32), np.ones(1, np.float32), weights, np.zeros(3, np.float32), 100.0)
    return prove(
        role="classifier", head=head, exam=exam(1000), classes=CLASSES, good="good", new_cv=(9, 10),
        golden=np.zeros(1000, np.bool_), replayed=replayed,
    )  # fmt: skip


def test_a_head_that_takes_nothing_away_may_run() -> None:
    assert judged(0.0, 100).refused == ()


@pytest.mark.parametrize(("replayed", "told"), [(900, True), (2000, False)])
def test_what_loses_old_parts_is_refused_and_few_replayed_ones_are_named(replayed: int, told: bool) -> None:
    proof = judged(9.0, replayed)
    first = proof.refused[0]
    assert "the old classes lose 10.00 points" in first
    assert len(proof.lost_rows) == 100
    assert ("only 900 old parts were replayed" in first and "list 2000 or more in --data" in first) == told
