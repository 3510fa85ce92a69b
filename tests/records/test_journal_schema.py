"""Files of other releases: older ones are brought up, newer ones left alone."""

import sqlite3
from pathlib import Path

import pytest

from edge.errors import RecordError
from edge.records.journal import tables
from edge.records.journal.columns import COLUMNS
from edge.records.journal.query import Filter, JournalReader
from edge.records.journal.tables import SCHEMA
from tests.records.finished_parts import Source, journal_of, part_ids

FIRST = (Path(__file__).parent / "schema_1.sql").read_text()


@pytest.fixture
def old(tmp_path):
    """As the first release left it, with one part."""
    path = tmp_path / "old.sqlite"
    db = sqlite3.connect(path)
    db.executescript(f"PRAGMA journal_mode = WAL; {FIRST}")
    db.execute(
        "INSERT INTO runs VALUES(1, 77, 1, 1795000000000000000, 'line1', '[\"no_part\"]', 'abc', '0.1')"
    )
    db.execute(
        "INSERT INTO parts(run_id, ring_index, wall_ns, part_id, class_id, judged_class_id, gate_class_id, "
        "final_verdict) VALUES(1, 0, 1795000000000000000, 4711, 0, 0, 0, 2)"
    )
    db.commit()
    db.close()
    return path


def test_an_older_journal_can_be_asked_as_it_is(old):
    before = old.read_bytes()
    with JournalReader(old) as reader:
        (part,) = reader.parts(Filter())
        assert (part["part_id"], part["final_verdict"]) == (4711, "reject")
        assert reader.runs()[0]["boot_id"] == ""
        assert reader.short == ""
    assert old.read_bytes() == before


def test_it_is_brought_up_when_it_is_written(old, tmp_path):
    source = Source(tmp_path)
    source.add(2)
    journal_of(source, old).close()
    assert part_ids(old) == [4711, 1, 2]
    with JournalReader(old) as reader:
        assert reader.schema == SCHEMA
        assert reader.check() == []
        assert [event["text"].partition(" by ")[0] for event in reader.events()] == [
            f"brought from 1 to {SCHEMA}"
        ]
        assert set(tables.columns_of(reader._db, "parts")) == set(COLUMNS)
    new = tmp_path / "new.sqlite"
    journal_of(source, new).close()
    with sqlite3.connect(new) as one, sqlite3.connect(old) as other:
        for table in ("runs", "parts", "gaps", "events", "clock"):
            assert tables.columns_of(one, table) == tables.columns_of(other, table)


def test_a_step_that_fails_leaves_the_file_as_it_was(old, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MIGRATIONS", {1: "CREATE TABLE clock(id);\nCREATE TABLE clock(id)"})
    journal = journal_of(Source(tmp_path), old)  # trouble that may pass: it is tried again
    journal.close()
    with sqlite3.connect(old) as db:
        assert tables.schema_of(db) == 1
        assert tables.columns_of(db, "clock") == ()


def test_a_newer_one_is_refused_and_left_alone(tmp_path):
    source, path = Source(tmp_path), tmp_path / "j.sqlite"
    journal_of(source, path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    before = path.read_bytes()
    with pytest.raises(
        RecordError, match=f"schema {SCHEMA + 1} found, 1 to {SCHEMA} expected; move it aside"
    ):
        journal_of(source, path)
    with pytest.raises(RecordError, match="ask the release of edge that wrote it"):
        JournalReader(path)
    assert path.read_bytes() == before


def test_a_file_whose_maker_was_killed_before_the_tables_were_there_is_taken(tmp_path):
    path = tmp_path / "j.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
    db.close()
    assert path.stat().st_size > 0
    source = Source(tmp_path)
    source.add(1)
    journal_of(source, path).close()
    assert part_ids(path) == [1]
