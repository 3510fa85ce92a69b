"""Line files: good ones, and every mistake with its line."""

import json
import re
from pathlib import Path

import pytest

from edge.config import LineConfig, engine_path, example_path, load_line
from edge.errors import ConfigError
from engines.manifest import load_manifest

DEMO = example_path("demo.yaml").read_text(encoding="utf-8")
STEPS = """
routing:
  - up_to_m_per_s: 3.0
    gate_good: 0.96
    gate_defect: 0.9
    classifier_good: 0.95
"""
OWN = re.sub(r"recipe: shipped:demo_detector.*\n.*\n", STEPS, DEMO)
"""The demo line with thresholds of its own."""


def load(tmp_path: Path, text: str) -> LineConfig:
    path = tmp_path / "line.yaml"
    path.write_text(text, encoding="utf-8")
    return load_line(path)


@pytest.mark.parametrize("name", ["demo.yaml", "replay.yaml", "resnet50.yaml"])
def test_the_examples_are_good(name: str) -> None:
    assert load_line(example_path(name)).engines.gate.startswith("shipped:gate")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("cap_ms: 15", "cap_s: 15", r"line.yaml:\d+: budget.cap_s: unknown key; did you mean 'cap_ms'"),
        (
            "kind: twin                     # replay",
            "kind: gige # replay",
            r"line.yaml:\d+: camera: .*'twin'",
        ),
        (
            "m_per_s: 1.2 ",
            "m_per_s: fast ",
            r"line.yaml:\d+: conveyor.m_per_s: found 'fast', expected: .*number",
        ),
        ("m_per_s: 1.2 ", "m_per_s: 1.2 m/s ", r"found '1.2 m/s'"),
        (
            "gate_good: 0.96",
            "gate_good: 97",
            r"line.yaml:\d+: routing.0.gate_good: found 97, expected: .*less than",
        ),
        ("gate_good: 0.96", "gate_good: .nan", r"routing.0.gate_good: found nan"),
        (
            "max_frame_mib: 1 ",
            "max_frame_mb: 1 ",
            r"camera.max_frame_mb: unknown key; did you mean 'max_frame_mib'",
        ),
        ("name: demo", "name: ../demo", r"line.yaml:\d+: name: found '../demo'"),
        ("  cap_ms: 15", " cap_ms: 15\n cap_ms", r"line.yaml:\d+: not YAML"),
        ("frame_timeout_ms: 60", "frame_timeout_ms: 900", r"reaches the ejector 325 ms after its trigger"),
        ("  gate: shipped:gate_detector\n", "", r"engines.gate: missing"),
    ],
)
def test_a_mistake_names_file_line_key_and_cure(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in OWN
    with pytest.raises(ConfigError, match=expected):
        load(tmp_path, OWN.replace(old, new))


def test_a_missing_file_and_a_wrong_shape(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read .*examples/demo.yaml"):
        load_line(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="found list, expected keys"):
        load(tmp_path, "- a\n- b\n")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_line(tmp_path / "bytes.yaml")


def test_routing_steps_must_rise(tmp_path: Path) -> None:
    step = "  - {up_to_m_per_s: 1.0, gate_good: 0.9, gate_defect: 0.9, classifier_good: 0.9}\n"
    steps = OWN.replace(STEPS, STEPS + step)
    with pytest.raises(ConfigError, match=r"routing: .*each must be higher"):
        load(tmp_path, steps)


def test_what_decides_is_said_once_and_somewhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="routing: here and in the recipe"):
        load(tmp_path, DEMO + STEPS)
    with pytest.raises(ConfigError, match="routing is missing; add its steps, or a recipe"):
        load(tmp_path, OWN.replace(STEPS, ""))
    with pytest.raises(ConfigError, match="recipe: 'shipped:nothing' is not shipped; known: shipped:demo"):
        load(tmp_path, DEMO.replace("shipped:demo_detector", "shipped:nothing"))
    with pytest.raises(ConfigError, match=r"mine.yaml: cannot be read"):
        load(tmp_path, DEMO.replace("shipped:demo_detector", "mine.yaml"))


@pytest.mark.parametrize(
    ("recipe", "gate", "classifier"),
    [
        ("demo", "gate", "classifier"),
        ("demo_detector", "gate_detector", "classifier"),
        ("demo_resnet50", "gate_detector", "classifier_resnet50"),
    ],
)
def test_a_shipped_recipe_is_certified_for_its_engines(
    tmp_path: Path, recipe: str, gate: str, classifier: str
) -> None:
    text = DEMO.replace("shipped:demo_detector", f"shipped:{recipe}")
    text = text.replace("shipped:gate_detector", f"shipped:{gate}")
    text = text.replace("shipped:classifier", f"shipped:{classifier}")
    config = load(tmp_path, text)
    engines = {
        role: load_manifest(engine_path(name)).sha256
        for role, name in (("gate", config.engines.gate), ("classifier", str(config.engines.classifier)))
    }
    assert config.certificate_state(engines) == "holds"


def test_paths_start_at_the_line_file(tmp_path: Path) -> None:
    text = example_path("replay.yaml").read_text(encoding="utf-8").replace("shipped:classifier", "mine.yaml")
    config = load(tmp_path, text)
    assert config.camera.kind == "replay" and config.camera.path == tmp_path / "pictures"
    assert config.engines.classifier == str(tmp_path / "mine.yaml")


def test_an_engine_that_is_not_shipped() -> None:
    with pytest.raises(ConfigError, match=r"'shipped:gait' is not shipped; known: .*shipped:gate"):
        engine_path("shipped:gait")


def test_the_published_schemas_are_current() -> None:
    from tools.schemas import DOCS, PUBLISHED

    for name, model in PUBLISHED.items():
        published = json.loads((DOCS / name).read_text(encoding="utf-8"))
        assert published == model.model_json_schema(), f"docs/{name} is old: run make schemas"
