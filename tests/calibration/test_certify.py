"""Thresholds of a pair that was just taught: its exam is what they rest on; both engines become active or none."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import engines
from calibration.certified_recipe import recipe_yaml
from calibration.certify import PairExam, PairRoles, certify, count
from calibration.thresholds import Wish
from edge.inspection.certificate import certificate_state, decides_hash
from edge.inspection.recipe import Recipe
from edge.inspection.settings import ExposureSettings
from engines.bounds import upper_bound
from engines.errors import StoreError
from engines.store.folder import EngineStore
from engines.store.keys import KeyRing
from engines.store.offer import Offer, offer_onnx
from engines.store.pair import activate_together, roll_back_together

ROLES = PairRoles(("no_part", "flawless", "crack", "scratch"), "flawless", "no_part")


def exam(
    parts: int, seed: int = 1, strength: float = 6.0, classes: tuple[int, ...] = (0, 1, 2, 3)
) -> PairExam:
    """Softmax of noisy logits; two pictures of each part."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.choice(classes, parts), 2)

    def scores(clarity: float) -> np.ndarray:
        logits = rng.normal(0, 1.0, (len(labels), 4))
        logits[np.arange(len(labels)), labels] += clarity
        e = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(e / e.sum(1, keepdims=True), np.float32)

    light = rng.uniform(60, 90, len(labels)).astype(np.float32)
    groups = np.repeat(np.arange(parts), 2).astype(str)
    return PairExam(ROLES, labels.astype(np.int64), groups, scores(strength), scores(strength + 2), light)


def test_parts_enough_show_what_was_asked_and_the_recipe_is_one_that_lines_read(tmp_path: Path) -> None:
    found = certify(exam(3000), Wish(escape_rate=0.01), seed=1)
    assert found.holds and found.shown == 0.01 and not found.why
    c = found.counts
    assert c is not None and found.upper == upper_bound(c.escapes, c.defective) <= 0.01
    hashes = {"gate": "a" * 64, "classifier": "b" * 64}
    recipe = Recipe.model_validate(yaml.safe_load(recipe_yaml(found, hashes, ["test"])))
    decides = decides_hash(recipe.routing, recipe.scores, recipe.retest, recipe.rules)
    tight, wide = ExposureSettings(min_mean=55, max_mean=100), ExposureSettings()
    assert certificate_state(recipe.certificate, hashes, decides, tight) == "holds"
    assert "darker frames" in certificate_state(recipe.certificate, hashes, decides, wide)
    assert recipe.certificate is not None and recipe.certificate.steps[0].escapes == c.escapes
    assert found.thresholds is not None and found.fits is not None
    assert recipe.routing[0].gate_good == found.thresholds.gate_good
    assert recipe.scores.gate.good.gain == found.fits["gate"].good.gain
    fresh = count(exam(3000, seed=2), found.fits, found.thresholds)  # parts that neither chose nor tested
    assert fresh.escapes / fresh.defective <= 0.01


def test_too_few_say_so_and_offer_what_they_support() -> None:
    found = certify(exam(200), Wish(escape_rate=0.001), seed=1)
    assert not found.holds
    assert found.counts is not None and found.shown is not None
    assert found.shown == pytest.approx(upper_bound(0, found.counts.defective) * 1.0001)
    assert found.counts.escapes == 0
    assert "at least 2995 without a single escape are needed" in found.in_words()
    assert f"--escape-rate {found.shown:.6f}" in found.why
    assert "certificate" not in yaml.safe_load(recipe_yaml(found, {"gate": "a" * 64}, ["test"]))


def test_nothing_is_claimed_of_a_class_that_did_not_test() -> None:
    found = certify(exam(3000, classes=(0, 1, 2)), Wish(escape_rate=0.01), seed=1)
    assert found.shown == 0.01 and not found.holds
    assert "nothing is claimed of scratch" in found.in_words()


def test_engines_that_cannot_tell_get_no_thresholds_that_pass_defects() -> None:
    found = certify(exam(3000, strength=-1.0), Wish(escape_rate=0.001), seed=1)
    assert found.counts is None or found.counts.escapes <= found.counts.defective * 0.01
    nothing = certify(exam(300, classes=(0, 1)), Wish(), seed=1)
    assert nothing.shown is None and "no defective part" in nothing.in_words()


def test_a_pair_becomes_active_as_one(tmp_path: Path) -> None:
    keys = KeyRing(tmp_path / "keys")
    keys.create()
    store = EngineStore(tmp_path / "store", keys)
    models = Path(engines.__file__).parent / "models"
    pair = [
        offer_onnx(store, Offer(models / f"{name}.yaml", None, runs=2), lambda phase, share: None)
        for name in ("gate", "classifier")
    ]
    blocked = store.root / "active" / pair[1].entry.name / "in-the-way"
    blocked.mkdir(parents=True)  # where the second link belongs
    older = tmp_path / "older"
    older.mkdir()
    (older / "gate.onnx").write_bytes((models / "gate.onnx").read_bytes())
    text = (models / "gate.yaml").read_text()
    (older / "gate.yaml").write_text(text.replace("2026-11-23", "2026-11-22"))
    was = offer_onnx(store, Offer(older / "gate.yaml", None, runs=2), lambda phase, share: None)
    assert was.id != pair[0].id
    store.activate(was.id)
    with pytest.raises(StoreError):
        activate_together(store, pair, "taught")
    assert store.active_id(pair[0].entry.name) == was.id
    blocked.rmdir()
    blocked.parent.rmdir()
    before = activate_together(store, pair, "taught")
    assert before == {pair[0].entry.name: was.id, pair[1].entry.name: None}
    assert [store.active_id(item.entry.name) for item in pair] == [item.id for item in pair]
    with pytest.raises(StoreError, match="nothing to roll back to"):
        roll_back_together(
            store, [item.entry.name for item in pair], "left its range"
        )  # the classifier was never another
    assert store.active_id(pair[0].entry.name) == pair[0].id
    assert roll_back_together(store, [pair[0].entry.name], "left its range") == {pair[0].entry.name: was.id}
