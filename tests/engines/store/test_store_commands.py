"""``edge engines``: the whole way of an ONNX Runtime engine, and what is said without a GPU."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.config import engine_path
from engines.commands import app
from engines.errors import DeviceError, EnginesError
from engines.load import load_engine

GATE = engine_path("shipped:gate")


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=isinstance(code, int) and code < 2)
    if isinstance(result.exception, EnginesError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def golden(path: Path) -> Path:
    """Noise, labelled with what the gate says of it."""
    engine = load_engine(GATE)
    pictures = np.random.default_rng(0).normal(size=(12, *engine.input.shape[1:])).astype(np.float32)
    labels = []
    for picture in pictures:
        engine.input[0] = picture
        engine.run()
        labels.append(int(engine.scores.argmax()))
    np.savez(path, pictures=pictures, labels=np.array(labels))
    return path


def test_from_a_key_to_an_active_engine_and_back(tmp_path: Path) -> None:
    said = run("store", "keys", "create")
    assert "PRIVATE" not in said and (tmp_path / "keys" / "signing.key").is_file()
    first = run("store", "add", str(GATE), "--golden", str(golden(tmp_path / "g.npz")), "--activate")
    assert "golden set 100.00%" in first and "active: store:twin-gate" in first
    run("store", "add", str(GATE), "--activate")
    run("store", "list")
    assert "built for this machine" in run("store", "verify", "twin-gate")
    assert "active: store:twin-gate" in run("store", "rollback", "twin-gate")
    assert "removed" not in run("store", "gc")
    assert "trusted" in run("store", "keys", "list")


def test_an_engine_is_compared_with_its_model_and_measured(tmp_path: Path) -> None:
    run("store", "keys", "create")
    run("store", "add", str(GATE), "--activate")
    model = str(GATE.with_name("gate.onnx"))
    pictures = str(golden(tmp_path / "g.npz"))
    assert "1.00000" in run("verify", "store:twin-gate", "--reference", model, "--pictures", pictures)
    assert "p99.9" in run("bench", "store:twin-gate", "--runs", "20")
    other = run(
        "verify", str(GATE), "--reference", str(GATE.with_name("classifier.onnx")), "--count", "1", code=1
    )
    assert other is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("inspect", str(GATE)), "expected one of TensorRT"),
        (("build", "m.onnx"), "either a manifest .* or a file"),
        (("build", "no-such.onnx", "--out", "x.engine"), "no-such.onnx: cannot be read"),
        (("store", "add", str(GATE)), "keys create"),
        (("store", "activate", "nothing"), "expected one entry"),
        (("bench", "store:nothing"), "no active engine of this name"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(EnginesError, match=said):
        run(*arguments)


def test_a_build_without_a_gpu_says_so_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "x.engine"
    try:
        run("build", str(GATE.with_name("gate.onnx")), "--out", str(out))
    except DeviceError as error:
        assert "or use the ONNX Runtime engines" in str(error)
        assert not out.exists()
    else:
        pytest.skip("there is a GPU here")
