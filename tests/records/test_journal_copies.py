"""What a journal and its copies say of themselves: whole, or not."""

import json
import shutil
import subprocess
import sys

import pytest

from edge.errors import RecordError
from edge.records.journal.copy import copy
from edge.records.journal.query import Filter, JournalReader
from tests.records.finished_parts import FAR_NS, Source, journal_of, part_ids
from tests.records.small_disk import Ext4


@pytest.fixture
def written(tmp_path):
    """A journal in use: seven parts in the file, then five that only the log has."""
    source, path = Source(tmp_path), tmp_path / "j.sqlite"
    source.add(7)
    journal_of(source, path).close()
    journal = journal_of(source, path)
    source.add(5)
    journal.tick(FAR_NS)
    yield path
    journal.close()
    assert short(path) == "", "closed, it is whole"


def short(path):
    with JournalReader(path) as reader:
        return reader.short


def edge(*arguments):
    command = [sys.executable, "-m", "edge.cli", "journal", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_copy_without_its_log_says_so_each_time(tmp_path, written):
    assert short(written) == ""
    place = tmp_path / "copy"
    place.mkdir()
    alone = shutil.copy(written, place / "alone.sqlite")
    for _ in range(2):  # the first look leaves an empty log beside it
        assert part_ids(alone) == list(range(1, 8))
        assert "without alone.sqlite-wal: the newest parts are missing" in short(alone)
    checked = edge("check", "--journal", str(alone))
    assert checked.returncode == 1
    assert "without alone.sqlite-wal" in " ".join(checked.stdout.split())
    asked = edge("query", "--json", "--journal", str(alone))
    assert "without alone.sqlite-wal" in json.loads(asked.stdout)["short"]

    for end in ("", "-wal"):
        shutil.copy(f"{written}{end}", place / f"both.sqlite{end}")
    assert short(place / "both.sqlite") == ""
    assert part_ids(place / "both.sqlite") == list(range(1, 13))


def test_a_journal_whose_writer_was_killed_has_its_log_and_is_whole(tmp_path):
    path = tmp_path / "j.sqlite"
    program = (
        "import os, pathlib\n"
        "from tests.records.finished_parts import *\n"
        f"source = Source(pathlib.Path({str(tmp_path)!r}))\n"
        f"journal = journal_of(source, pathlib.Path({str(path)!r}))\n"
        "source.add(9); journal.tick(FAR_NS); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    assert short(path) == ""
    assert part_ids(path) == list(range(1, 10))
    assert short(path) == ""


def test_a_log_that_cannot_be_read_is_told(tmp_path, written):
    disk = Ext4(tmp_path)
    with disk.mounted() as place:
        for end in ("", "-wal"):
            shutil.copy(f"{written}{end}", place / f"both.sqlite{end}")
        shutil.copy(written, place / "alone.sqlite")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert part_ids(place / "both.sqlite") == list(range(1, 8))
        assert "cannot be used, because nothing can be written" in short(place / "both.sqlite")
        assert "without alone.sqlite-wal" in short(place / "alone.sqlite")


def test_a_copy_made_while_it_is_written_is_one_whole_file(tmp_path, written):
    out, looks = tmp_path / "out/copy.sqlite", []
    out.parent.mkdir()
    with JournalReader(written) as reader:
        copy(reader, out, lambda left, total: looks.append((left, total)))
    assert looks[-1][0] == 0
    assert [file.name for file in out.parent.iterdir()] == ["copy.sqlite"]
    assert short(out) == ""
    assert part_ids(out) == list(range(1, 13))
    done = edge("copy", "--journal", str(written), "--out", str(out))
    assert done.returncode == 2
    assert "expected a new one" in done.stderr
    done = edge("copy", "--journal", str(written), "--out", str(out.with_name("second.sqlite")))
    assert (done.returncode, "12 parts" in done.stdout) == (0, True)


def test_a_copy_of_a_copy_that_is_short_stays_marked(tmp_path, written):
    alone, out = shutil.copy(written, tmp_path / "alone.sqlite"), tmp_path / "out.sqlite"
    with JournalReader(alone) as reader:
        copy(reader, out, lambda *_: None)
    assert "the newest parts are missing" in short(out)
    with JournalReader(out) as reader:
        assert len(list(reader.parts(Filter()))) == 7


def test_a_place_that_cannot_be_written_leaves_nothing(tmp_path, written):
    with JournalReader(written) as reader, pytest.raises(RecordError, match="the copy failed"):
        copy(reader, tmp_path / "no/such/copy.sqlite", lambda *_: None)
