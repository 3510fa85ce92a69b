"""A journal whose disk fills, fails or is taken away: records wait in the ring and come once."""

import time

import pytest

from edge import _core
from edge._core import JournalState
from edge.errors import RecordError
from edge.records.journal.query import JournalReader
from tests.records.finished_parts import FAR_NS, Source, journal_of, kept, part_ids, reporting_process
from tests.records.small_disk import Ext4, disk_in_memory, fill


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


def kinds(path):
    with JournalReader(path) as reader:
        return [event["kind"] for event in reader.events()]


def test_a_full_disk_pauses_the_journal_and_the_ring_waits(tmp_path, source):
    with disk_in_memory(tmp_path / "disk") as disk:
        path = disk / "j.sqlite"
        journal = journal_of(source, path)
        source.add(10)
        journal.tick(FAR_NS)
        ballast = fill(disk)
        source.add(2000)
        journal.tick(FAR_NS * 2)
        assert journal.kept < 2010
        ballast.unlink()
        journal.tick(FAR_NS * 3)
        journal.close()
        assert part_ids(path) == list(range(1, 2011))
        assert journal.lost == 0
        with JournalReader(path) as reader:
            (event,) = reader.events()
        assert event["kind"] == "journal_paused"
        assert "disk is full; 0 records lost meanwhile" in event["text"]


def test_what_the_ring_drops_while_the_disk_is_full_is_a_gap(tmp_path):
    source = Source(tmp_path, capacity=64)
    with disk_in_memory(tmp_path / "disk") as disk:
        path = disk / "j.sqlite"
        journal = journal_of(source, path)
        ballast = fill(disk)
        source.add(1000)
        journal.tick(FAR_NS)
        status = _core.Region.create(str(tmp_path / "region"), frame_slots=2, slot_bytes=4096).status
        journal.publish(status)
        before = journal.lost
        assert status.journal_state == JournalState.PAUSED
        assert before + status.journal_waiting + journal.kept == 1000
        assert status.journal_lost == before > 0, "known while it is paused"
        ballast.unlink()
        source.add(1)
        journal.tick(FAR_NS * 2)
        journal.close()
        with JournalReader(path) as reader:
            kept, lost = reader.counts()["parts"], reader.counts()["lost_records"]
            assert kept + lost == 1001
            assert lost > 0
            assert f"{lost} records lost meanwhile" in reader.events()[-1]["text"]
        assert part_ids(path)[-1] == 1001
        assert journal.lost == lost
        assert journal_of(source, path).lost == lost, "of this ring, whoever reads it"


def test_a_disk_that_is_full_at_the_start_is_waited_for(tmp_path, source):
    with disk_in_memory(tmp_path / "disk") as disk:
        path = disk / "j.sqlite"
        source.add(5)
        journal_of(source, path).close()
        ballast = fill(disk)
        source.add(5)
        journal = journal_of(source, path)
        journal.tick(FAR_NS)
        assert journal.kept == 0
        with pytest.raises(RecordError, match="a writable disk with room on it"):
            journal_of(source, disk / "new.sqlite")
        ballast.unlink()
        journal.close()
        assert part_ids(path) == list(range(1, 11))
        assert kinds(path) == ["journal_paused"]


def test_a_reporting_process_that_ends_without_all_records_says_so_and_may_be_tried_again(tmp_path, source):
    region = tmp_path / "region"
    _core.Region.create(str(region), frame_slots=2, slot_bytes=4096)
    with disk_in_memory(tmp_path / "disk") as disk:
        path = disk / "j.sqlite"
        source.add(5)
        process = reporting_process(tmp_path, source, region, path)
        wait_for(lambda: kept(path) == 5)
        ballast = fill(disk)
        source.add(2000)
        process.terminate()
        assert process.wait(20) == 1
        ballast.unlink()
        process = reporting_process(tmp_path, source, region, path)
        wait_for(lambda: kept(path) == 2005)
        process.terminate()
        assert process.wait(20) == 0
        assert part_ids(path) == list(range(1, 2006))


def test_a_disk_that_turns_read_only_costs_nothing_but_time(tmp_path, source):
    disk = Ext4(tmp_path)
    path = disk.place / "j.sqlite"
    with disk.mounted():
        journal = journal_of(source, path)
        source.add(20)
        journal.tick(FAR_NS)
        assert journal.kept == 20
        disk.fail()
        source.add(30)
        journal.tick(FAR_NS * 2)
        journal.tick(FAR_NS * 3)
        assert journal.kept == 20
        assert set(part_ids(path)) <= set(range(1, 21)), "it can still be asked"
        journal.close()
        after = journal_of(source, path)  # the process is started again while the disk is as it is
        after.tick(FAR_NS * 4)
        assert after.kept == 0
        after.close()
    with disk.mounted():
        journal = journal_of(source, path)
        source.add(1)
        journal.close()
        assert part_ids(path) == list(range(1, 52))
        with JournalReader(path) as reader:
            assert reader.check() == []
            assert reader.gaps() == []


def test_a_ring_that_went_before_its_records_were_written_is_told(tmp_path):
    disk = Ext4(tmp_path)
    path = disk.place / "j.sqlite"
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = Source(folder)
        with disk.mounted():
            journal = journal_of(source, path)
            source.add(20)
            journal.tick(FAR_NS)
            if number == 0:
                disk.fail()
            source.add(30)
            journal.close()
    with disk.mounted(), JournalReader(path) as reader:
        assert [run["records_seen"] for run in reader.runs()] == [20, 50]
        assert [(event["kind"], event["run"]) for event in reader.events()] == [("unclosed", 1)]
        assert "records of run 1 from 20 on" in reader.events()[0]["text"]


def test_a_journal_that_is_moved_away_is_followed_by_a_new_one(tmp_path, source):
    path, away = tmp_path / "j.sqlite", tmp_path / "away.sqlite"
    journal = journal_of(source, path)
    source.add(3)
    journal.tick(FAR_NS)
    path.rename(away)
    source.add(2)
    journal.tick(FAR_NS * 2)
    journal.close()
    assert part_ids(path) == [4, 5]
    assert kinds(path) == ["moved"]
    with JournalReader(path) as reader:
        assert reader.gaps() == []
    path.unlink()
    journal = journal_of(source, path)
    path.unlink()
    journal.tick(FAR_NS)
    journal.close()
    assert "was moved or removed" in JournalReader(path).events()[0]["text"]
