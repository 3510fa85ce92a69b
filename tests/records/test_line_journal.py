"""The journal of a whole line whose reporting process is killed again and again, to its end."""

from pathlib import Path

import pytest

from benchmarks.records import run_demo


@pytest.mark.line
def test_nothing_is_missing_when_the_reporting_process_is_killed_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_RUN_DIR", str(tmp_path / "run"))
    found = run_demo(tmp_path, 30, journal=True, kill_every_s=0.2)
    assert found["kills"] > 2
    assert found["verdicts"] == 30
    assert found["journal"] == {"parts": 30, "twice": 0, "missing": 0, "lost": 0}
