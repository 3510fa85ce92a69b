"""What a tool is started with."""

import os
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.cli import app


@pytest.mark.parametrize(
    ("arguments", "module"),
    [(["calibrate", "bench", "--twin"], "tools.calibrate"), (["calibrate", "bank"], "calibration")],
)
def test_a_tool_has_one_thread_for_its_algebra_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], module: str
) -> None:
    """The variable counts only before numpy is loaded: in the environment of the process."""
    seen: list[tuple[list[str], dict[str, str]]] = []

    def call(command: list[str], env: dict[str, str]) -> int:
        seen.append((command, env))
        return 3

    monkeypatch.setattr(subprocess, "call", call)
    for given in ({}, {"OMP_NUM_THREADS": "4"}):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        result: Any = CliRunner().invoke(app, arguments)
        assert result.exit_code == 3
        command, env = seen.pop()
        assert command[:3] == [sys.executable, "-m", module]
        assert env == {"OMP_NUM_THREADS": "1", **os.environ}
