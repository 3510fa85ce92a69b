"""A few pictures beside many: the new class is found, the old ones stay, and copies never leak between folds."""

import numpy as np
import pytest

from calibration.discriminant import Linear, Moments, minimise, refine, softmax
from calibration.errors import CalibrationError
from calibration.fits import Lesson
from calibration.teach import fold_of, scores_of, teach


def lesson(new: int, seed: int = 1, shift: float = 4.0) -> Lesson:
    """Two old classes in 12 dimensions, told apart by the first; the new one lies off in the second."""
    rng = np.random.default_rng(seed)
    labels = np.array([0] * 80 + [1] * 80 + [2] * new)
    x = rng.normal(0, 1, (len(labels), 12)).astype(np.float32)
    x[:, 0] += 6 * (labels == 1)
    x[:, 1] += shift * (labels == 2)
    logits = np.stack([3 - x[:, 0], x[:, 0] - 3], 1).astype(np.float32)
    copies = np.flatnonzero(labels == 2)
    return Lesson(
        np.vstack([x, x[copies] + 0.05]).astype(np.float32),
        np.vstack([logits, logits[copies]]).astype(np.float32),
        np.concatenate([labels, labels[copies]]),
        np.array([str(i) for i in range(len(labels) + new)]),
        np.concatenate([np.full(len(labels), -1), copies]),
        3,
    )


def test_a_class_that_can_be_told_is_learned_and_the_old_ones_stay() -> None:
    taught, fresh = teach(lesson(12), 1), lesson(200, seed=9)
    found = scores_of(taught.head, fresh.taps, fresh.logits).argmax(1)
    right = found == fresh.labels
    assert right[fresh.labels == 2].mean() > 0.9
    before = (fresh.logits.argmax(1) == fresh.labels)[fresh.labels < 2].mean()
    assert right[fresh.labels < 2].mean() > before - 0.02


def test_a_class_that_cannot_be_told_takes_no_old_parts() -> None:
    taught = teach(lesson(12, shift=0.0), 1)
    assert taught.recall < 0.5
    assert taught.old_loss <= 0.01


def test_a_class_far_from_the_old_ones_is_found_beyond_the_few_pictures_of_it() -> None:
    """Many biases find all of five pictures; the lowest would miss a third of the next parts."""
    for seed in range(3):
        taught, fresh = teach(lesson(5, seed=seed, shift=8.0), 1), lesson(200, seed=99, shift=8.0)
        found = scores_of(taught.head, fresh.taps, fresh.logits).argmax(1) == 2
        assert found[fresh.labels == 2].mean() > 0.97
        assert not found[fresh.labels < 2].any()


def test_copies_stay_in_the_fold_of_their_original() -> None:
    given = lesson(12)
    fold = fold_of(given, 1)
    copies = given.original >= 0
    assert (fold[copies] == fold[given.original[copies]]).all()
    assert len(set(fold[given.labels == 2])) == 4


def test_one_picture_is_refused() -> None:
    with pytest.raises(CalibrationError, match="1 parts of the new class"):
        teach(lesson(1), 1)


def test_the_minimiser_finds_the_minimum_and_the_ridge_holds_the_start() -> None:
    matrix = np.diag([1.0, 10.0, 100.0])
    found = minimise(
        lambda v: (0.5 * float(v @ matrix @ v) - float(v.sum()), matrix @ v - 1), np.zeros(3), 200, 1e-14
    )
    np.testing.assert_allclose(found, [1, 0.1, 0.01], atol=1e-4)
    x, labels = lesson(20).taps.astype(np.float64), lesson(20).labels
    start = Moments.of(x, labels, 3).discriminant(0.05)
    free, held = refine(start, x, labels, 1e-4), refine(start, x, labels, 1e6)
    loss = [-np.log(softmax(fit(x))[np.arange(len(x)), labels]).mean() for fit in (free, held)]
    assert loss[0] < loss[1]
    gain = held.weights / start.weights
    np.testing.assert_allclose(gain, gain[0, 0], rtol=1e-3)
    assert isinstance(free, Linear)
