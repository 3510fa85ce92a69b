from collections import Counter

import numpy as np
import pytest

from engines.calibration_set import (
    FULL_WELL,
    READ_NOISE,
    SHIFT_EV,
    Coverage,
    PictureSet,
    band_of,
    choose_pictures,
    expose,
)
from engines.errors import CalibrationError

CLASSES = ("good", "crack", "stain")


def candidates(counts=(200, 200, 200)):
    labels = np.repeat(np.arange(3), counts)
    return labels, np.zeros(len(labels), np.float32)


def test_classes_are_even_and_a_fifth_is_exposed_wrongly():
    labels, ev = candidates((300, 100, 60))
    chosen = choose_pictures(labels, ev, 3, pictures=120, seed=1)
    assert Counter(labels[c.index] for c in chosen) == {0: 40, 1: 40, 2: 40}
    shifts = np.array([c.shift_ev for c in chosen])
    for label in range(3):
        own = shifts[[labels[c.index] == label for c in chosen]]
        assert ((own < 0).sum(), (own > 0).sum()) == (4, 4)
    assert (np.abs(shifts[shifts != 0]) >= SHIFT_EV[0]).all()
    assert (np.abs(shifts) <= SHIFT_EV[1]).all()
    plain = [c.index for c in chosen if not c.shift_ev]
    assert len(set(plain)) == len(plain)
    assert (
        choose_pictures(labels, ev, 3, pictures=120, seed=1)
        == chosen
        != choose_pictures(labels, ev, 3, pictures=120, seed=2)
    )


def test_real_exposures_come_before_synthetic_ones():
    labels, ev = candidates((100, 100, 100))
    ev[:3], ev[3:4], ev[100:130] = -1.5, 1.2, 2.0
    chosen = choose_pictures(labels, ev, 3, pictures=150, seed=1)
    taken = {c.index for c in chosen if not c.shift_ev and c.index < 100}
    assert {0, 1, 2, 3} <= taken
    total = np.array([ev[c.index] + c.shift_ev for c in chosen if c.index < 100])
    assert Counter(band_of(total).tolist()) == {0: 5, 1: 40, 2: 5}
    over = [c for c in chosen if 100 <= c.index < 200 and ev[c.index] + c.shift_ev > 0.5]
    assert [c.shift_ev for c in over] == [0.0] * 5


def test_a_small_class_gives_what_it_has():
    labels, ev = candidates((100, 100, 4))
    chosen = choose_pictures(labels, ev, 3, pictures=90, seed=1)
    own = [c for c in chosen if labels[c.index] == 2]
    assert len(own) == 4
    assert {np.sign(c.shift_ev) for c in own} == {-1, 0, 1}


def test_without_exposure_samples_nothing_is_shifted():
    labels, ev = candidates()
    chosen = choose_pictures(labels, ev, 3, pictures=90, seed=1, exposure_share=0)
    assert len(chosen) == 90
    assert not any(c.shift_ev for c in chosen)


def test_exposure_is_linear_clips_and_has_the_noise_of_a_sensor():
    rng = np.random.default_rng(1)
    flat = np.full((400, 400), 200, np.uint8)
    dark = expose(flat, -2.0, rng)
    assert dark.mean() == pytest.approx(50, abs=0.1)
    electrons = FULL_WELL * 50 / 255
    lacking = electrons * (1 - 0.25) + (1 - 1 / 16) * READ_NOISE**2
    assert dark.std() == pytest.approx(np.hypot(np.sqrt(lacking) * 255 / FULL_WELL, 12**-0.5), rel=0.05)
    assert (expose(flat, 1.0, rng) == 255).all()
    assert (expose(np.full((4, 4), 100, np.uint8), 1.0, rng) == 200).all()
    assert expose(flat, 0.0, rng) is flat
    assert (expose(np.zeros((50, 50), np.uint8), -1.0, rng) <= 2).all()  # noise does not wrap around


def pictures(labels, ev):
    images = np.full((len(labels), 3, 4, 4), 128, np.uint8)
    return PictureSet(images, np.array(labels), np.array(ev, np.float32), CLASSES)


def test_coverage_counts_and_refuses_what_is_missing():
    whole = Coverage.of(pictures([0, 1, 2, 0, 1], [0, 0, 0, -1, 1]))
    assert whole.counts == ((1, 1, 0), (0, 1, 1), (0, 1, 0))
    assert sum(whole.grey_histogram) == 5
    whole.require_complete()
    no_stain = Coverage.of(pictures([0, 1, 1], [-1, 0, 1]))
    with pytest.raises(CalibrationError, match="class 'stain' has no picture; found good 1/0/0, crack 0/1/1"):
        no_stain.require_complete()
    all_usual = Coverage.of(pictures([0, 1, 2], [0, 0, -1]))
    with pytest.raises(CalibrationError, match="no picture is exposed 'over'"):
        all_usual.require_complete()
    all_usual.require_complete(bands=False)


def test_inputs_are_what_the_model_takes():
    inputs = pictures([0, 1], [0, 0]).inputs((0.4, 0.5, 0.6), (0.25, 0.25, 0.5))
    assert len(inputs) == len(list(inputs)) == 2
    assert inputs[1].shape == (1, 3, 4, 4)
    assert inputs[1].dtype == np.float32
    expected = [(128 / 255 - mean) / std for mean, std in ((0.4, 0.25), (0.5, 0.25), (0.6, 0.5))]
    assert inputs[1][0, :, 0, 0] == pytest.approx(expected, abs=1e-6)
    assert len(inputs[:1]) == 1
