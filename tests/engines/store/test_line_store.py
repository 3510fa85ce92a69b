"""A line file that names an engine of the store."""

from pathlib import Path

import pytest

from edge.config import anchored, engine_path, example_path, load_line
from edge.errors import EngineError
from edge.inspection.engines import load_pair
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
