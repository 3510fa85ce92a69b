"""The picture archive: what is kept, what goes, and what a full disk or a kill leaves behind."""

import errno
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import _core
from edge._core import FrameStatus, PixelFormat, PlcResult, Reason, Verdict
from edge.errors import RecordError
from edge.records.archive import shelf as shelves
from edge.records.archive.commands import Wanted, pictures
from edge.records.archive.names import Picture
from edge.records.archive.settings import ArchiveSettings
from edge.records.archive.shelf import Shelf
from edge.records.archive.sink import ArchiveSink

WIDTH, HEIGHT = 64, 48


class Source:
    """A region with frames and a ring of records, as camera, loop and actuation leave them."""

    def __init__(self, folder: Path, slots: int = 16) -> None:
        self.region = _core.Region.create(
            str(folder / "region"), frame_slots=slots, slot_bytes=WIDTH * HEIGHT
        )
        self.ring = _core.RecordRing.create(str(folder / "ring"), capacity=1024)

    def frame(self, part_id: int) -> None:
        slot = self.region.claim_slot()
        pixels = np.full(WIDTH * HEIGHT, part_id % 256, np.uint8)
        slot.pixels[: pixels.size] = pixels
        slot.publish(
            frame_id=part_id,
            trigger_id=part_id,
            encoder_count=0,
            exposure_end_ns=_core.now_ns(),
            width=WIDTH,
            height=HEIGHT,
            stride=WIDTH,
            pixel_format=PixelFormat.MONO8,
            status=FrameStatus.OK,
        )
        self.region.discard_frames()  # the loop has taken it; its pixels stay until the slot is used again

    def record(self, part_id: int, verdict: Verdict, reason: Reason) -> None:
        now = _core.now_ns()
        index = self.ring.append_unjudged(
            part_id=part_id, encoder_count=0, triggered_ns=now, deadline_ns=now + 1
        )
        self.ring.acknowledge(
            index,
            verdict=verdict,
            reason=reason,
            result=PlcResult.ACKED,
            queued_ns=now,
            sent_ns=now,
            ack_ns=now,
        )


def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


def reject_until_kept(source: Source, archive: ArchiveSink) -> None:
    part_id = 2
    while archive.kept == 0:
        source.frame(part_id)
        source.record(part_id, Verdict.REJECT, Reason.DEFECT)
        part_id += 1
        time.sleep(0.05)
        assert part_id < 200


def archive_of(source: Source, folder: Path, events: list, **settings) -> ArchiveSink:
    wanted = ArchiveSettings(**{"min_free_mib": 0, "passes_one_in": 0, "max_per_s": 1000, **settings})
    return ArchiveSink(
        source.region,
        source.ring,
        wanted,
        folder,
        classes=("no_part",),
        note=lambda *event: events.append(event),
    )


def kept(folder: Path) -> dict[int, tuple[str, ...]]:
    return {picture.part_id: picture.why for _, picture in pictures(folder, Wanted())}


def test_a_name_says_everything_and_is_read_back():
    picture = Picture(
        1_795_640_661_123_456_000, 77, "no_part", "no_time", ("reject", "near-fault"), "excess_material"
    )
    assert Picture.of(picture.path) == picture
    assert Picture.of(Path("holiday.png")) is None


def test_rejects_samples_and_what_is_around_a_fault_are_kept_with_the_camera_s_pixels(tmp_path):
    source, folder = Source(tmp_path), tmp_path / "pictures"
    archive = archive_of(source, folder, [], around_fault=2, passes_one_in=10)
    plan = {part_id: (Verdict.PASS, Reason.NONE) for part_id in range(1, 15)}
    plan[6] = (Verdict.REJECT, Reason.OVERRUN)
    plan[13] = (Verdict.REJECT, Reason.DEFECT)
    for part_id, (verdict, reason) in plan.items():
        source.frame(part_id)
        source.record(part_id, verdict, reason)
    archive.close()
    assert kept(folder) == {
        4: ("near-fault",),
        5: ("near-fault",),
        6: ("reject", "fault"),
        7: ("near-fault",),
        8: ("near-fault",),
        10: ("sample",),
        13: ("reject",),
    }
    assert (archive.kept, archive.skipped, archive.missed) == (7, 0, 0)
    for path, picture in pictures(folder, Wanted()):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.shape == (HEIGHT, WIDTH)
        assert (image == picture.part_id).all()
    assert [p.part_id for _, p in pictures(folder, Wanted(reason="overrun"))] == [6]
    with pytest.raises(RecordError, match="expected one of reject"):
        list(pictures(folder, Wanted(why="nice")))


def test_a_frame_whose_slot_was_used_again_is_missed_and_told_of(tmp_path):
    source, folder, events = Source(tmp_path, slots=2), tmp_path / "pictures", []
    for part_id in range(1, 6):
        source.frame(part_id)
    archive = archive_of(source, folder, events)
    for part_id in range(1, 6):
        source.record(part_id, Verdict.REJECT, Reason.DEFECT)
    archive.close()
    assert set(kept(folder)) == {4, 5}
    assert archive.missed == 3
    assert events == [("archive_gaps", "0 pictures skipped and 3 missed since the start; 2 kept")]


def test_more_than_wanted_a_second_is_skipped_and_counted(tmp_path):
    source, folder = Source(tmp_path), tmp_path / "pictures"
    for part_id in range(1, 11):
        source.frame(part_id)
    archive = archive_of(source, folder, [], max_per_s=0.5)
    for part_id in range(1, 11):
        source.record(part_id, Verdict.REJECT, Reason.DEFECT)
    archive.close()
    assert archive.kept >= 1
    assert archive.skipped == 10 - archive.kept > 5


def test_a_full_disk_costs_pictures_only_and_they_come_again(tmp_path, monkeypatch):
    source, folder, events = Source(tmp_path), tmp_path / "pictures", []
    free = [0]
    monkeypatch.setattr(shelves, "_free_bytes", lambda _folder: free[0])
    archive = archive_of(source, folder, events, min_free_mib=1)
    source.frame(1)
    source.record(1, Verdict.REJECT, Reason.DEFECT)
    until(lambda: archive.skipped == 1)
    assert not list(folder.glob("*/*"))
    free[0] = 2**30
    reject_until_kept(source, archive)
    archive.close()
    assert [kind for kind, _ in events][:2] == ["archive_full", "archive_resumed"]
    assert "1 MiB of the disk" in events[0][1]


def picture(part_id: int, wall_ns: int) -> Picture:
    return Picture(wall_ns, part_id, "reject", "defect", ("reject",), "crack")


def test_the_oldest_go_by_size_by_age_and_for_a_disk_that_fills(tmp_path, monkeypatch):
    now = time.time_ns()
    settings = ArchiveSettings(max_mib=0.01, min_free_mib=1, keep_days=1)
    monkeypatch.setattr(shelves, "_free_bytes", lambda _folder: 2**30)
    shelf = Shelf(tmp_path, settings, clock_is_set=lambda: True)
    for part_id in range(10):
        shelf.put(picture(part_id, now - 2 * 86_400 * 10**9 + part_id * 10**9), b"x" * 2000)
    assert sorted(kept(tmp_path)) == [5, 6, 7, 8, 9]
    shelf.put(picture(10, now), b"x")
    shelf.close()

    shelf = Shelf(tmp_path, settings, clock_is_set=lambda: False)  # what is there is counted again
    assert len(shelf) == len(kept(tmp_path)) == 6 - (shelf.used_mib > 0.01)
    assert shelf.forget_old() == 0, "an undisciplined clock makes nothing old"
    shelf.close()

    shelf = Shelf(tmp_path, settings, clock_is_set=lambda: True)
    shelf.forget_old()
    assert list(kept(tmp_path)) == [10]
    free = iter([0, 2**30, 0])
    monkeypatch.setattr(shelves, "_free_bytes", lambda _folder: next(free))
    shelf.put(picture(11, now + 1), b"x")
    assert list(kept(tmp_path)) == [11]


def test_what_a_killed_process_left_half_written_is_gone(tmp_path):
    path = tmp_path / picture(1, time.time_ns()).path
    path.parent.mkdir()
    left = path.with_name(f".{path.name}.part")
    left.write_bytes(b"half")
    shelf = Shelf(tmp_path, ArchiveSettings())
    assert not left.exists()
    with pytest.raises(RecordError, match="another process writes this archive"):
        Shelf(tmp_path, ArchiveSettings())
    shelf.close()


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"expected a folder that this user may write"):
        Shelf(tmp_path / "file/pictures", ArchiveSettings())


def test_a_disk_that_cannot_be_written_at_the_start_is_waited_for(tmp_path, monkeypatch):
    source, folder, events = Source(tmp_path), tmp_path / "pictures", []
    broken = [True]
    real = Path.mkdir

    def mkdir(self, *arguments, **named):
        if broken[0] and self == folder:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(self, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    archive = archive_of(source, folder, events)
    source.frame(1)
    source.record(1, Verdict.REJECT, Reason.DEFECT)
    until(lambda: archive.skipped == 1)
    broken[0] = False
    reject_until_kept(source, archive)
    archive.close()
    assert "Read-only file system" in events[0][1]
    assert kept(folder)
