"""What is never removed: the active recipe, those before it, newer ones, and what a journal or a line names."""

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.config import load_line
from edge.recipes.store import RecipeStore
from edge.roles import Meeting, role_settings
from edge.service.machine import CpuPlan
from engines.audit import AuditLog
from tests.recipes.conftest import Files
from tests.records.finished_parts import FACTS, RunFacts, Source, journal_of


def gc(*arguments: str) -> list[str]:
    """Ids that were removed."""
    result = CliRunner().invoke(app, ["recipe", "gc", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return [
        line.removeprefix("removed ") for line in result.stdout.splitlines() if line.startswith("removed ")
    ]


def test_only_what_nobody_needs_goes(
    store: RecipeStore, demo_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("EDGE_RUN_DIR", str(tmp_path / "run"))
    journalled, running, before, active, newer = (
        store.make("bracket", *demo_files, str(number)).id for number in range(5)
    )
    other = store.make("lid", *demo_files, "never active").id
    for identity in (journalled, running, before, active):
        store.activate(identity)

    line = tmp_path / "line.yaml"
    line.write_text(
        "name: one\ncamera: {kind: twin, max_frame_mib: 1, frame_timeout_ms: 60}\nplc: {kind: twin}\n"
        f"recipe: stored:{running}\n"
    )
    config, meeting = load_line(line), Meeting(tmp_path / "run/edge-1-one", tmp_path / "ring")
    meeting.folder.mkdir(parents=True)
    meeting.write_told(role_settings(config, meeting, CpuPlan.for_this_machine(None)))
    meeting.region.touch()

    path = tmp_path / "state/one/journal.sqlite"
    source = Source(tmp_path)
    source.add(1)
    facts = RunFacts("one", FACTS.classes, "a", "0", ((1, False, journalled),))
    journal_of(source, path, facts=facts).close()

    assert gc("--keep", "1") == []
    meeting.region.unlink()  # the line has ended
    assert gc("--keep", "1", str(line)) == []  # its file names it still
    with sqlite3.connect(path) as db:
        (recipes,) = db.execute("SELECT recipes FROM runs").fetchone()
        db.execute("UPDATE runs SET recipes = NULL")  # an older release: what judged then nobody knows
    assert gc("--keep", "1") == []
    with sqlite3.connect(path) as db:
        db.execute("UPDATE runs SET recipes = ?", (recipes,))
    assert gc("--keep", "1") == [running]
    assert {item.id for item in store.entries()} == {journalled, before, active, newer, other}
    log = AuditLog(store.root / "audit.jsonl")
    assert (log.rows()[-1]["before"], log.rows()[-1]["after"], log.check()) == (running, None, [])
    assert store.rollback("bracket").id == before
