"""ONNX Runtime tells its maker nothing: no upload is prepared and no identifier of the device is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What says to ONNX Runtime that it runs in a test, and would keep it quiet for that reason.
TELL_TALE = ("ORT_DISABLE_TELEMETRY", "CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST")


def run(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key not in TELL_TALE and key[:4] != "XDG_"}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**env, "HOME": str(home)}, capture_output=True, text=True, check=True, timeout=120
    )


@pytest.mark.parametrize(
    "module", ["edge.cli", "engines.onnx_cpu", "engines.scales", "tools.measure", "calibration.proving"]
)
def test_every_door_to_onnx_runtime_turns_it_off_first(module, tmp_path):
    first = (
        "import builtins, os; real = builtins.__import__\n"
        "def watched(name, *rest, **more):\n"
        "    if name == 'onnxruntime': assert os.environ.get('ORT_DISABLE_TELEMETRY') == '1', name\n"
        "    return real(name, *rest, **more)\n"
        "builtins.__import__ = watched\n"
    )
    assert run(f"{first}import {module}; import onnxruntime", tmp_path).returncode == 0


def test_an_engine_leaves_nothing_in_the_home_folder(tmp_path):
    code = (
        "from pathlib import Path\n"
        "from engines.manifest import load_manifest; from engines.onnx_cpu import load_cpu_engine\n"
        "load_cpu_engine(load_manifest(Path('engines/models/gate.yaml'))).run()"
    )
    run(code, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
