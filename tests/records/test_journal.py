import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from edge import _core
from edge._core import Reason
from edge.config import example_path
from edge.errors import RecordError
from edge.records.journal import writer as writing
from edge.records.journal.export import export
from edge.records.journal.query import Filter, JournalReader
from edge.records.journal.settings import JournalSettings
from edge.records.journal.store import RunFacts
from edge.records.journal.writer import JournalWriter
from tests.records.finished_parts import (
    FACTS,
    FAR_NS,
    Source,
    journal_of,
    kept,
    part_ids,
    reporting_process,
)


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


def test_every_part_once_over_restarts(tmp_path, source):
    path = tmp_path / "deep/er/journal.sqlite"
    for _ in range(3):
        source.add(7)
        journal = journal_of(source, path)
        journal.tick(FAR_NS)
        source.add(5)
        journal.close()
    assert part_ids(path) == list(range(1, 37))
    with JournalReader(path) as reader:
        assert len(reader.runs()) == 1
        assert reader.gaps() == []
        assert reader.check() == []
        part = next(reader.parts(Filter(part=3)))
    assert (part["final_verdict"], part["final_reason"], part["plc_result"]) == (
        "reject",
        "no_verdict",
        "acked",
    )
    assert part["class"] == "no_part"
    assert part["queued_ms"] == pytest.approx(1.0)
    assert part["gate_in_ms"] is None


def test_what_the_ring_dropped_is_a_gap_with_its_place(tmp_path):
    source = Source(tmp_path, capacity=16)
    path = tmp_path / "j.sqlite"
    journal = journal_of(source, path)
    source.add(4)
    journal.tick(FAR_NS)
    source.add(40)
    journal.tick(FAR_NS * 2)
    journal.close()
    assert journal.lost == 24
    assert part_ids(path) == [1, 2, 3, 4, *range(29, 45)]
    with JournalReader(path) as reader:
        assert [(gap["first"], gap["last"]) for gap in reader.gaps()] == [(4, 27)]
        assert reader.counts()["lost_records"] == 24


def test_a_new_ring_is_a_new_run_and_a_new_configuration_an_event(tmp_path):
    path = tmp_path / "j.sqlite"
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = Source(folder)
        source.add(2)
        journal_of(source, path, facts=RunFacts("line1", FACTS.classes, f"hash{number}", "0.1")).close()
    with JournalReader(path) as reader:
        assert [run["records_seen"] for run in reader.runs()] == [2, 2]
        assert [event["kind"] for event in reader.events()] == ["config"]
        assert [part["run"] for part in reader.parts(Filter(last=3))] == [1, 2, 2]


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_steps_is_an_event_and_moves_no_record(tmp_path, source, monkeypatch, step_s):
    path = tmp_path / "j.sqlite"
    journal = journal_of(source, path)
    source.add(1)
    journal.tick(FAR_NS)
    clock = time.time_ns
    monkeypatch.setattr(writing.time, "time_ns", lambda: clock() + int(step_s * 1e9))
    source.add(1)
    journal.tick(FAR_NS * 2)
    monkeypatch.undo()
    journal.close()
    with JournalReader(path) as reader:
        assert f"stepped by {step_s:+.3f} s" in reader.events()[0]["text"]
        assert reader.events()[1]["kind"] == "clock_step"
        assert len(list(reader.parts(Filter()))) == 2


def test_a_broken_journal_is_kept_aside(tmp_path, source):
    path = tmp_path / "j.sqlite"
    source.add(300)
    journal_of(source, path).close()
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    source.add(2)
    journal_of(source, path).close()
    aside = list(tmp_path.glob("j.sqlite.corrupt-*"))
    assert [file.read_bytes() for file in aside] == [bytes(data)]
    with JournalReader(path) as reader:
        assert [event["kind"] for event in reader.events()] == ["corrupt"]
        assert str(aside[0]) in reader.events()[0]["text"]
    assert part_ids(path) == list(range(1, 303)), "the ring still held them"


def test_one_writer_only(tmp_path, source):
    path = tmp_path / "j.sqlite"
    first = journal_of(source, path)
    with pytest.raises(RecordError, match="another process writes this journal"):
        journal_of(source, path)
    first.close()
    journal_of(source, path).close()


def test_a_disk_that_cannot_be_written_is_an_error_at_the_start(tmp_path, source):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RecordError, match=r"cannot be kept here: .*records\.journal\.path"):
        journal_of(source, blocked / "j.sqlite")


def test_retention_by_size_takes_the_oldest(tmp_path):
    source = Source(tmp_path, capacity=8192)
    path = tmp_path / "j.sqlite"
    source.add(8000)
    journal = journal_of(source, path, JournalSettings(max_mib=0.5))
    journal.tick(FAR_NS)
    journal.close()
    with JournalReader(path) as reader:
        left = [part["part_id"] for part in reader.parts(Filter())]
    assert len(left) < 8000
    assert left == list(range(8001 - len(left), 8001))


@pytest.mark.parametrize(("is_set", "left"), [(True, [4]), (False, [2, 3, 4])])
def test_retention_by_age_believes_only_a_disciplined_clock(tmp_path, source, monkeypatch, is_set, left):
    path = tmp_path / "j.sqlite"
    settings = JournalSettings(keep_days=10)
    journal = JournalWriter(source.ring, settings, path, FACTS, clock_is_set=lambda: is_set)
    # The first part is of a clock that was never set; each tick is due for writing and for forgetting.
    for number, days in enumerate((0, 20_000, 20_001, 20_050), 1):
        monkeypatch.setattr(writing.time, "time_ns", lambda days=days: days * 86_400 * 10**9)
        source.add(1)
        journal.tick(number * 100 * 10**9)
    journal.close()
    assert part_ids(path) == [1, *left]


def test_killed_again_and_again_it_loses_and_doubles_nothing(tmp_path):
    source = Source(tmp_path, capacity=65_536)
    region, path = tmp_path / "region", tmp_path / "j.sqlite"
    _core.Region.create(str(region), frame_slots=2, slot_bytes=4096)
    for _ in range(4):
        process = reporting_process(tmp_path, source, region, path)
        before = source.next
        end = time.monotonic() + 20
        while time.monotonic() < end:
            source.add(5)
            time.sleep(0.01)
            if (
                path.exists()
                and path.stat().st_size
                and source.next > before + 200
                and kept(path) > before + 100
            ):
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = reporting_process(tmp_path, source, region, path)
    end = time.monotonic() + 20
    while kept(path) < source.next - 1 and time.monotonic() < end:
        time.sleep(0.05)
    process.terminate()
    assert process.wait(10) == 0
    assert part_ids(path) == list(range(1, source.next))
    with JournalReader(path) as reader:
        assert reader.gaps() == []


def test_filters_and_exports(tmp_path, source):
    path = tmp_path / "j.sqlite"
    source.add(5)
    source.add(3, Reason.PLC_SILENT)
    journal_of(source, path).close()
    with JournalReader(path) as reader:
        assert [part["part_id"] for part in reader.parts(Filter(reason="plc_silent"))] == [6, 7, 8]
        assert list(reader.parts(Filter(verdict="pass"))) == []
        assert list(reader.parts(Filter(class_name="crack"))) == []
        assert list(reader.parts(Filter(since_ns=FAR_NS))) == []
        with pytest.raises(RecordError, match="expected one of none, defect"):
            list(reader.parts(Filter(reason="bad luck")))
        with pytest.raises(RecordError, match="no run of this journal knows it"):
            list(reader.parts(Filter(class_name="rust")))
        assert export(reader.parts(Filter()), tmp_path / "parts.csv") == 8
        assert export(reader.parts(Filter()), tmp_path / "parts.parquet") == 8
        with pytest.raises(RecordError, match=r"found the ending '\.xls', expected \.csv or \.parquet"):
            export(reader.parts(Filter()), tmp_path / "parts.xls")
    with (tmp_path / "parts.csv").open() as file:
        assert [row["part_id"] for row in csv.DictReader(file)] == [str(i) for i in range(1, 9)]
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "parts.parquet").to_pylist()
    assert [row["final_reason"] for row in parquet] == ["no_verdict"] * 5 + ["plc_silent"] * 3
    assert sorted(file.name for file in tmp_path.glob(".*")) == []


def test_the_command_prints_json_and_names_what_is_missing(tmp_path, source):
    path = tmp_path / "j.sqlite"
    source.add(3)
    journal_of(source, path).close()

    def edge(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "EDGE_STATE_DIR": str(tmp_path / "none")}
        command = [sys.executable, "-m", "edge.cli", "journal", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    found = json.loads(edge("query", "--journal", str(path), "--json", "--last", "2").stdout)
    assert [part["part_id"] for part in found["parts"]] == [2, 3]
    assert found["counts"] == {
        "parts": 3,
        "verdicts": {"reject": 3},
        "reasons": {"no_verdict": 3},
        "lost_records": 0,
    }
    assert edge("check", "--journal", str(path)).returncode == 0
    missing = edge("query")
    assert missing.returncode == 2
    assert "which journal?" in missing.stderr
    nothing = edge("query", "--journal", str(tmp_path / "no.sqlite"))
    assert (nothing.returncode, "no journal here" in nothing.stderr) == (2, True)
    demo = edge("query", str(example_path("demo.yaml")))
    assert (demo.returncode, "records: {journal: {}}" in demo.stderr) == (2, True)


def test_a_database_that_becomes_read_only_pauses_the_journal(tmp_path, source):
    """A file system with open files cannot be made read-only from outside; SQLite then says the same."""
    path = tmp_path / "j.sqlite"
    journal = journal_of(source, path)
    source.add(10)
    journal.tick(FAR_NS)
    journal._journal._db.execute("PRAGMA query_only = 1")
    source.add(10)
    journal.tick(FAR_NS * 2)
    assert journal.kept == 10
    assert part_ids(path) == list(range(1, 11))
    journal._journal._db.execute("PRAGMA query_only = 0")
    journal.tick(FAR_NS * 3)
    journal.close()
    assert part_ids(path) == list(range(1, 21))
