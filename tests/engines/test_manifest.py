import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from engines.errors import ManifestError
from engines.manifest import load_manifest, write_manifest

MODEL = b"not really a graph"


def good() -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "twin-gate",
        "role": "gate",
        "file": "gate.onnx",
        "sha256": hashlib.sha256(MODEL).hexdigest(),
        "classes": ["no_part", "flawless", "crack"],
        "good_class": "flawless",
        "empty_class": "no_part",
        "input": {
            "width": 192,
            "height": 144,
            "channels": 3,
            "mean": [0.4, 0.4, 0.4],
            "std": [0.25, 0.25, 0.25],
            "resize": "area",
        },
        "precision": {"scheme": "u8s8", "head": "float32"},
        "trained": {"command": "python -m tools.train gate", "parts": 10, "seed": 1, "date": "2026-01-02"},
        "measured": {
            "accuracy_fp32": 0.99,
            "accuracy_int8": 0.98,
            "escape_rate_at_argmax": 0.0,
            "latency_ms_fp32": 2.0,
            "latency_ms_int8": 1.0,
            "parts": 10,
            "seed": 1,
        },
    }


def place(folder: Path, data: object, model: bytes | None = MODEL) -> Path:
    path = folder / "gate.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    if model is not None:
        (folder / "gate.onnx").write_bytes(model)
    return path


def test_a_good_manifest_loads_and_survives_a_round_trip(tmp_path: Path) -> None:
    manifest = load_manifest(place(tmp_path, good()))
    assert manifest.model_path.read_bytes() == MODEL
    again = tmp_path / "again.yaml"
    write_manifest(manifest, again)
    assert load_manifest(again) == manifest
    assert yaml.safe_load(again.read_text())["schema"] == 1


def test_a_missing_manifest_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nothing\.yaml: cannot be read"):
        load_manifest(tmp_path / "nothing.yaml")


def test_a_missing_model_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"(?s)gate\.onnx.*cannot be read.*python -m tools\.train gate"):
        load_manifest(place(tmp_path, good(), model=None))


def test_a_truncated_model_shows_both_digests_and_the_size(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(place(tmp_path, good(), model=MODEL[:5]))
    text = str(caught.value)
    assert hashlib.sha256(MODEL).hexdigest() in text
    assert hashlib.sha256(MODEL[:5]).hexdigest() in text
    assert "(5 bytes)" in text


@pytest.mark.parametrize("text", ["a: [1, 2", "just words", "- 1\n- 2\n", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ManifestError, match=r"gate\.yaml"):
        load_manifest(place(tmp_path, text))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"schema": 2}, "schema"),
        ({"role": "oracle"}, "role"),
        ({"file": "../gate.onnx"}, "file"),
        ({"sha256": "123"}, "sha256"),
        ({"good_class": "perfect"}, "good_class"),
        ({"empty_class": "nothing"}, "empty_class"),
        ({"classes": ["flawless", "flawless", "no_part"]}, "classes"),
        ({"treshold": 0.9}, "treshold"),
        ({"input": {**good()["input"], "resize": "cubic"}}, "input.resize"),
        ({"input": {**good()["input"], "std": [0, 1, 1]}}, "input.std.0"),
        ({"measured": {**good()["measured"], "accuracy_int8": 98.0}}, "measured.accuracy_int8"),
    ],
)
def test_a_wrong_key_is_named_with_what_was_found(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(place(tmp_path, {**good(), **change}))
    text = str(caught.value)
    assert "gate.yaml" in text
    assert key in text
    assert "expected" in text


def test_a_key_left_out_is_named(tmp_path: Path) -> None:
    data = good()
    del data["classes"]
    with pytest.raises(ManifestError, match=r"classes: found nothing"):
        load_manifest(place(tmp_path, data))
