"""Decision rules in a line file: every mistake is named before the line starts."""

from pathlib import Path

import pytest

from edge.check import explain
from edge.config import example_path, load_line
from edge.errors import ConfigError
from edge.inspection.rules import RuleSettings, class_limits, native_rules

CLASSES = ("no_part", "flawless", "crack", "stain")


def line_with(tmp_path: Path, rules: str) -> Path:
    path = tmp_path / "line.yaml"
    path.write_text(example_path("replay.yaml").read_text() + f"\nrules:\n{rules}\n")
    return path


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("  steps: [{class: crack, action: melt}]", r"rules.steps.0.action: found 'melt'"),
        ("  steps: [{class: crack, zone: rim, action: pass}]", r"zone 'rim' is not defined; known: none"),
        (
            "  steps: [{class: crack, min_size_mm: 2, max_size_mm: 1, action: pass}]",
            r"max_size_mm 1 is below",
        ),
        ("  steps: [{class: crack, bin: 300, action: reject}]", r"rules.steps.0.bin: found 300"),
        ("  zones: {rim: {x1: 0.5, x2: 0.5}}", r"x1 must be below x2"),
        ("  class_limits: {crack: 1.5}", r"class_limits.crack: found 1.5"),
        ("  stepps: []", r"did you mean 'steps'"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, rules: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_line(line_with(tmp_path, rules))


@pytest.mark.parametrize("rules", ["  steps: [{class: rust, action: pass}]", "  class_limits: {rust: 0.1}"])
def test_a_class_that_the_engines_do_not_know_stops_the_check(tmp_path: Path, rules: str) -> None:
    line = load_line(line_with(tmp_path, rules))
    camera = line.camera.model_copy(update={"path": tmp_path})
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="class 'rust' is not one that the engines know"):
        explain(line.model_copy(update={"camera": camera}))


def test_rules_become_native_ones() -> None:
    rules = RuleSettings.model_validate(
        {
            "zones": {"rim": {"y2": 0.1}},
            "class_limits": {"stain": 0.2},
            "steps": [
                {"class": "stain", "zone": "rim", "max_size_mm": 1, "action": "pass"},
                {"class": "any", "action": "rework", "bin": 4},
            ],
        }
    )
    native, zones = native_rules(rules, CLASSES)
    assert (len(native), len(zones)) == (2, 1)
    assert class_limits(rules, CLASSES) == [2.0, 2.0, 2.0, 0.2]
