"""What the doctor says of the records: how long the disk lasts, and what was lost."""

import os

import pytest

from edge import _core
from edge._core import JournalState
from edge.config import example_path, load_line
from edge.records.journal.settings import JournalSettings
from edge.service.doctor.finding import Level
from edge.service.doctor.records import Room, journal_losses, journal_room, records
from tests.records.finished_parts import FAR_NS, Source, journal_of


@pytest.mark.parametrize(
    ("max_mib", "room", "level", "found", "mend"),
    [
        (4096, Room(10_000, 0, 0), Level.PASS, "4096 MiB last 52.3 h at 60 parts/s", ""),
        (1000, Room(10_000, 0, 0), Level.WARN, "last 12.8 h", "raise records.journal.max_mib"),
        (4096, Room(2000, 0, 0), Level.WARN, "2100 MiB last", "max_mib lower, or make room"),
        (4096, Room(10_000, 1024, 9000), Level.WARN, "1124 MiB last", "max_mib lower, or make room"),
        (4096, Room(10_000, 4096, 9000), Level.PASS, "4096 MiB last", ""),
    ],
)
def test_how_long_the_disk_lasts(tmp_path, max_mib, room, level, found, mend):
    finding = journal_room(tmp_path / "j.sqlite", 100, JournalSettings(max_mib=max_mib), room)
    assert finding.level is level
    assert found in finding.found
    assert mend in finding.mend


def test_records_that_the_ring_dropped_are_told(tmp_path):
    source, path = Source(tmp_path, capacity=64), tmp_path / "j.sqlite"
    assert journal_losses(path).level is Level.SKIP
    source.add(10)
    journal_of(source, path).close()
    assert journal_losses(path).level is Level.PASS
    source.add(100)
    journal = journal_of(source, path)
    journal.tick(FAR_NS)
    journal.note("journal_paused", "nothing could be written for 5 s")
    journal.close()
    finding = journal_losses(path)
    assert finding.level is Level.WARN
    assert "36 records lost in 7 days" in finding.found
    assert "journal_paused: nothing could be written" in finding.found
    path.write_bytes(b"no journal")
    assert "edge journal check" in journal_losses(path).mend


def test_a_line_whose_journal_is_paused_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("EDGE_STATE_DIR", str(tmp_path))
    config = load_line(example_path("demo.yaml"))
    assert [one.check for one in records(config)] == ["journal_room", "journal_records"], "it does not run"
    folder = tmp_path / f"edge-{os.getuid()}-demo"
    folder.mkdir()
    status = _core.Region.create(str(folder / "region"), frame_slots=2, slot_bytes=4096).status
    status.journal_state, status.journal_waiting, status.journal_lost = JournalState.PAUSED, 64, 936
    *_, finding = records(config)
    assert (finding.check, finding.level) == ("journal_now", Level.FAIL)
    assert finding.found == "paused, 64 records wait, 936 lost"
