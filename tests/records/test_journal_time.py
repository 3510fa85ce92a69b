"""Clocks that step while nobody writes, and what goes with time."""

import sqlite3
import time

import pytest

from edge.records.journal import retention
from edge.records.journal import writer as writing
from edge.records.journal.moment import Moment, passed
from edge.records.journal.query import Filter, JournalReader
from edge.records.journal.settings import JournalSettings
from edge.records.journal.writer import JournalWriter
from tests.records.finished_parts import FACTS, FAR_NS, Source, journal_of

S = 10**9
DAY = 86_400 * S
BEFORE = Moment("boot-a", 1_795_000_000 * S, 5_000 * S)


def after(wall_s: float, monotonic_s: float, boot: str = "boot-a") -> Moment:
    return Moment(boot, BEFORE.wall_ns + int(wall_s * S), BEFORE.monotonic_ns + int(monotonic_s * S))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (after(600, 600), []),
        (after(600.7, 600), []),  # slewed: at most 500 ppm
        (after(4200, 600), [("clock_step", "by +3600.000 s")]),
        (after(-10, 600), [("clock_step", "by -610.000 s")]),
        (after(600, -4_990, "boot-b"), [("boot", "started again")]),
        (
            after(-60, -4_990, "boot-b"),
            [("boot", "started again"), ("clock_step", "back by at least 60.000 s")],
        ),
        (after(9000, 600, ""), []),
    ],
)
def test_what_the_clocks_tell_of_the_time_between(now, told):
    found = passed(BEFORE, now)
    assert [kind for kind, _ in found] == [kind for kind, _ in told]
    for (_, text), (_, part) in zip(found, told, strict=True):
        assert part in text
        assert "2026-11-18T11:06:40.000+00:00" in text


@pytest.mark.parametrize("step_s", [7200, -7200])
def test_a_step_while_the_reporting_process_is_down_is_an_event(tmp_path, monkeypatch, step_s):
    source, path = Source(tmp_path), tmp_path / "j.sqlite"
    source.add(1)
    journal_of(source, path).close()
    journal_of(source, path).close()
    clock = time.time_ns
    monkeypatch.setattr(writing.time, "time_ns", lambda: clock() + step_s * S)
    journal_of(source, path).close()
    monkeypatch.undo()
    with JournalReader(path) as reader:
        (event,) = reader.events()
        assert event["kind"] == "clock_step"
        assert f"stepped by {step_s:+d}.0" in event["text"]
        assert reader.runs()[0]["boot_id"] == Moment.now().boot_id != ""


def test_another_boot_is_an_event(tmp_path):
    source, path = Source(tmp_path), tmp_path / "j.sqlite"
    journal_of(source, path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE clock SET boot_id = 'another'")
    journal_of(source, path).close()
    journal_of(source, path).close()
    with JournalReader(path) as reader:
        assert [event["kind"] for event in reader.events()] == ["boot"]


def test_gaps_events_and_empty_runs_go_with_their_parts(tmp_path):
    path = tmp_path / "j.sqlite"
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = Source(folder, capacity=8)
        journal = journal_of(source, path)
        source.add(20)
        journal.note("archive_full", f"run {number}")
        journal.note("calm", "only once") if number == 0 else None
        journal.tick(FAR_NS)
        journal.close()
    old_ns = time.time_ns() - 100 * DAY
    with sqlite3.connect(path) as db:
        for table, column in (("runs", "started_wall_ns"), ("gaps", "wall_ns"), ("parts", "wall_ns")):
            which = "id" if table == "runs" else "run_id"
            db.execute(f"UPDATE {table} SET {column} = {old_ns} WHERE {which} < 3")
        db.execute(f"UPDATE events SET wall_ns = {old_ns} WHERE run_id < 3")
    journal = JournalWriter(
        source.ring, JournalSettings(keep_days=90), path, FACTS, clock_is_set=lambda: True
    )
    journal.tick(FAR_NS)
    journal.close()
    with JournalReader(path) as reader:
        assert {part["run"] for part in reader.parts(Filter())} == {3}
        assert [gap["run"] for gap in reader.gaps()] == [3]
        assert [(event["kind"], event["run"]) for event in reader.events()] == [
            ("calm", 1),
            ("archive_full", 3),
        ]
        assert [run["run"] for run in reader.runs()] == [1, 3], "the first still has an event"


def test_a_flood_of_events_is_bounded_by_number_and_by_size(tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "_BESIDE", 50)
    source, path = Source(tmp_path), tmp_path / "j.sqlite"
    journal = journal_of(source, path)
    for number in range(200):
        journal.note("flap", str(number))
    journal.tick(FAR_NS)
    journal.close()
    with JournalReader(path) as reader:
        assert [event["text"] for event in reader.events()] == [str(number) for number in range(150, 200)]
    source.add(1)
    journal = journal_of(source, path, JournalSettings(max_mib=0.001))
    journal.tick(FAR_NS)
    journal.close()
    with JournalReader(path) as reader:
        assert [event["text"] for event in reader.events()] == ["199"]
