"""A real line whose watch trips: it goes back to the recipe before while parts pass, and so does the store."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.config import LineConfig, example_path, load_line
from edge.line import Line, RunningLine, RunOptions
from edge.recipes.make import bundle_files
from edge.recipes.store import RecipeStore
from edge.records.replay import replay_recording
from edge.twin import TwinRequest
from engines.audit import AuditLog
from engines.manifest import load_manifest
from engines.store.keys import KeyRing
from tests.shadow.test_watch import shadow_report

LINE = """
name: taken-back
camera: {kind: twin, max_frame_mib: 8, frame_timeout_ms: 60}
plc: {kind: twin, handshake: true}
recipe: stored:bracket
recipe_number: 1
keep_earlier: true
"""


def two_recipes() -> tuple[str, str]:
    """The one before and the active one, which wants more of a good part."""
    KeyRing(Path(os.environ["EDGE_KEYS"])).create()
    engines, files = bundle_files(load_line(example_path("demo.yaml")))
    store = RecipeStore()
    before = store.make("bracket", engines, files, "").id
    text = re.sub(r"classifier_good: [0-9.]+", "classifier_good: 0.9999", files["recipe.yaml"].decode())
    after = store.make("bracket", engines, {**files, "recipe.yaml": text.encode()}, "").id
    for identity in (before, after):
        store.activate(identity, uncertified=True)
    return before, after


def replayed_by(recording: Path) -> dict[int, bool]:
    """Part → whether what stood by judged it, in a replay without a difference; there it has a number of its own."""
    replayed: list[np.void] = []

    def run(config: LineConfig, options: RunOptions) -> None:
        def keep(records: NDArray[np.void]) -> None:
            assert options.on_records is not None
            options.on_records(records)
            replayed.extend(records)

        with Line(config, replace(options, on_records=keep), print) as line:
            line.run(lambda _: None)

    assert replay_recording(recording, run, print) == 0
    return {int(record["part_id"]): int(record["recipe"]) != 1 for record in replayed}


@pytest.mark.line
def test_the_line_goes_back_while_parts_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECIPES", "KEYS", "RUN_DIR"):
        monkeypatch.setenv(f"EDGE_{name}", str(tmp_path / name.lower()))
    before, after = two_recipes()
    (tmp_path / "line.yaml").write_text(LINE)
    config = load_line(tmp_path / "line.yaml")
    hashes = {
        role: load_manifest(Path(str(getattr(config.engines, role)))).sha256
        for role in ("gate", "classifier")
    }
    never = shadow_report(candidate=hashes, parts=500, said_by_candidate={"reject scratch": 500})
    (tmp_path / "shadow.json").write_text(never.model_dump_json())
    command = [sys.executable, "-m", "edge.shadow", "watch", "--line", "taken-back", "--priority", "low"]
    command += ["--shadow", "shadow.json", "--window", "20"]
    watch: list[subprocess.Popen[str]] = []
    records: list[np.void] = []

    def tick(running: RunningLine) -> None:
        if not watch and running.status.line_ready:
            watch.append(subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
        if sum(int(record["recipe_earlier"]) for record in records) >= 10 and watch[0].poll() is not None:
            line.ask_to_stop()

    options = RunOptions(
        twin=TwinRequest(parts=1500),
        on_records=records.extend,
        record_to=tmp_path / "recording",
        ignore_deadlines=True,  # what the engines say counts, however busy the machine is
    )
    with Line(config, options, print) as line:
        line.run(tick)
        taken_back = line.running.status.rolled_back
        passed = line.running.status.triggers_pushed
    said = watch[0].communicate(timeout=60)[1]
    assert watch[0].returncode == 4, said
    assert "taken back between two parts" in said
    assert taken_back == 1
    records.sort(key=lambda record: int(record["triggered_ns"]))
    assert [int(record["part_id"]) for record in records] == list(range(1, passed + 1))  # one verdict each
    assert {int(record["recipe"]) for record in records} == {1}
    by = [int(record["recipe_earlier"]) for record in records]
    assert by == sorted(by)
    store = RecipeStore()
    assert store.active_id("bracket") == before
    row = AuditLog(store.root / "audit.jsonl").rows()[-1]
    assert (row["before"], row["after"]) == (after, before)
    assert "left its range" in row["why"]
    again = replayed_by(tmp_path / "recording")  # a busy disk costs the recording a part, never the line
    assert set(again.values()) == {False, True}
    assert again == {part: bool(by[part - 1]) for part in again}
    alarm = json.loads((tmp_path / "alarm.json").read_text())
    assert (alarm["recipe"], alarm["active"], alarm["trouble"]) == (1, {"bracket": before}, "")
