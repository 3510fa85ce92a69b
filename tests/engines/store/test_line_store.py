"""A line file that names an engine of the store."""

import shutil
from pathlib import Path

import pytest

from edge.config import anchored, engine_path, example_path, load_line
from edge.errors import EngineError
from edge.inspection.engines import load_pair
from edge.recipes.earlier import own_earlier
from engines.store.folder import EngineStore
from engines.store.offer import Offer, offer_onnx

SHIPPED = engine_path("shipped:gate").parent


def test_the_line_loads_the_active_engines_and_refuses_damaged_ones(store: EngineStore) -> None:
    for name in ("gate", "classifier"):
        store.activate(offer_onnx(store, Offer(SHIPPED / f"{name}.yaml", runs=3)).id)
    gate, classifier = load_pair(engine_path("store:twin-gate"), engine_path("store:twin-classifier"), 1)
    assert gate.manifest.role == "gate" and classifier is not None
    (engine_path("store:twin-gate").parent / "gate.onnx").write_bytes(b"replaced")
    with pytest.raises(EngineError, match="it was truncated or replaced"):
        engine_path("store:twin-gate")
    with pytest.raises(EngineError, match="no active engine of this name"):
        engine_path("store:other")


def test_an_inspection_process_verifies_again(store: EngineStore) -> None:
    store.activate(offer_onnx(store, Offer(SHIPPED / "gate.yaml", runs=3)).id)
    path = engine_path("store:twin-gate")
    store.keys.distrust(store.keys.signer().id)
    with pytest.raises(EngineError, match="is not trusted here"):
        load_pair(path, None, 1)


def test_names_of_the_store_are_no_paths(tmp_path: Path) -> None:
    config = load_line(example_path("demo.yaml"))
    engines = config.engines.model_copy(update={"gate": "store:twin-gate"})
    moved = anchored(config.model_copy(update={"engines": engines}), tmp_path)
    assert moved.engines.gate == "store:twin-gate"


def test_the_pair_before_this_one_stands_by_and_half_a_pair_does_not(
    store: EngineStore, tmp_path: Path
) -> None:
    config = load_line(example_path("demo.yaml"))
    stored = {"gate": "store:twin-gate", "classifier": "store:twin-classifier"}
    both = config.model_copy(update={"engines": config.engines.model_copy(update=stored)})
    earlier = offer_onnx(store, Offer(SHIPPED / "gate.yaml", runs=3))
    store.activate(earlier.id)
    store.activate(offer_onnx(store, Offer(SHIPPED / "classifier.yaml", runs=3)).id)
    assert own_earlier(both) is None  # nothing was active before

    store.activate(offer_onnx(store, Offer(another_gate(tmp_path), runs=3)).id)
    assert own_earlier(both) is None  # of the classifier there is still one alone

    shipped = config.engines.model_copy(update={"gate": "store:twin-gate"})
    before = own_earlier(config.model_copy(update={"engines": shipped}))
    assert before is not None and before.gate.parent.name == earlier.id
    assert before.classifier == engine_path("shipped:classifier")
    assert before.routing == config.routing and before.number == config.recipe_number


def another_gate(folder: Path) -> Path:
    """Other weights under the name of the first."""
    text = (SHIPPED / "gate_detector.yaml").read_text(encoding="utf-8")
    path = folder / "gate_detector.yaml"
    path.write_text(text.replace("name: twin-gate-detector", "name: twin-gate"), encoding="utf-8")
    shutil.copy(SHIPPED / "gate_detector.onnx", folder)
    return path
