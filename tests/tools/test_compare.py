"""Networks compared: one real run of two tiny ones, and the figures by hand."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'edge-inspection[train]'")
pytest.importorskip("torch_pruning", reason="needs torch-pruning: pip install 'edge-inspection[train]'")

from tools import compare, train
from tools.comparison.contestants import Settings, trained
from tools.comparison.figures import Figures, Precision
from tools.comparison.page import pareto
from tools.comparison.sight import Sight, overkills_at
from tools.dataset import render_set
from tools.training import twin_sets
from tools.twin.parts import CLASSES, DEFAULT_LOOK

MODELS = ("plain-small", "mobilenet_v3_small")


def test_two_networks_and_a_second_call_that_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "_VALIDATION_PARTS", 48)
    monkeypatch.setattr(train, "_CALIBRATION_PARTS", 16)
    monkeypatch.setattr(twin_sets, "render_set", partial(render_set, workers=0))
    work, out = tmp_path / "work", tmp_path / "docs/models.md"
    options = ("--parts", "96", "--test-parts", "64", "--epochs", "1", "--size", "64x48", "--threads", "1")
    options += ("--engines", "shipped:gate_detector")
    compare.main(["--models", *MODELS, *options, "--work", str(work), "--out", str(out)])
    capsys.readouterr()
    report = json.loads(out.with_suffix(".json").read_text())
    assert [one["name"] for one in report["networks"]] == list(MODELS)
    for one in report["networks"]:
        assert tuple(one["sight"]["recall"]) == CLASSES == tuple(one["sight"]["f1"])
        assert one["int8"]["size_mb"] < one["fp32"]["size_mb"]
        assert one["int8"]["memory_mib"] > 0 < one["macs"]
        assert one["fp32"]["latency_p99_ms"] >= one["fp32"]["latency_p50_ms"] > 0 < one["training_seconds"]
    text = out.read_text()
    assert all(text.count(f"| {name} |") == 3 for name in MODELS)
    assert str(tmp_path) not in text
    (engine,) = report["engines"]
    assert (engine["name"], engine["size"]) == ("gate_detector", "192x144")
    assert engine["sight"]["accuracy"] > 0.9 > engine["sight"]["escapes"]
    assert text.count("| gate_detector |") == 2
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")

    def refuse(_options):
        raise AssertionError("trained again")

    monkeypatch.setattr(train, "train_on_twin", refuse)
    settings = Settings("64x48", 96, 64, 1, DEFAULT_LOOK, work, work / "sets", epochs=1.0, threads=1)
    assert trained(MODELS[0], settings).macs == report["networks"][0]["macs"]
    with pytest.raises(AssertionError, match="trained again"):
        trained(MODELS[0], replace(settings, seed=2))


def test_a_page_is_markdown(tmp_path):
    with pytest.raises(SystemExit, match=r"models\.html: expected the name of a Markdown file"):
        compare.main(["--out", str(tmp_path / "models.html"), "--work", str(tmp_path)])


def test_overkill_where_a_given_share_escapes():
    good, bad = CLASSES.index("flawless"), CLASSES.index("dent")
    said = {good: (0.9, 0.8, 0.6, 0.2), bad: (0.7, 0.5, 0.3, 0.1)}
    labels = np.repeat([good, bad], 4)
    scores = np.zeros((8, len(CLASSES)), np.float32)
    scores[:, good] = [*said[good], *said[bad]]
    assert overkills_at(scores, labels, 0.0) == 0.5, "above 0.7 none escapes; 0.6 and 0.2 do not pass"
    assert overkills_at(scores, labels, 0.25) == 0.25, "above 0.5 one of four escapes; 0.2 does not pass"


def named(name: str, latency_ms: float, accuracy: float) -> Figures:
    graph = Precision(accuracy, latency_ms, latency_ms, 1, 1)
    return Figures(name, graph, graph, 1, Sight(accuracy, {}, {"dent": 1.0}, 0, 0, 0), 1, 1, 1)


def test_only_those_are_on_the_front_that_nobody_beats_in_both():
    field = [named("a", 1, 0.9), named("b", 2, 0.8), named("c", 3, 0.95), named("d", 3, 0.94)]
    assert [one.name for one in pareto(field)] == ["a", "c"]
