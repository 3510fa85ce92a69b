"""Pictures of a new defect from folder, archive and running line: each once, with its origin, until relabelled."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import engines
from calibration.__main__ import main
from calibration.collect import INDEX, Found, read_index, take
from calibration.errors import CalibrationError
from calibration.pictures import read_folder
from calibration.sources import from_line
from edge import _core
from edge._core import FrameStatus, PixelFormat, PlcResult, Reason, Verdict
from edge.inspection.settings import InspectionConfig
from edge.records.archive.names import Picture
from edge.shadow.follow import Followed


def png(grey: int) -> bytes:
    return cv2.imencode(".png", np.full((8, 8), grey, np.uint8))[1].tobytes()


def test_a_picture_is_taken_once_and_a_lost_row_comes_back(tmp_path: Path) -> None:
    offers = [Found(png(grey), ".png", str(grey), "folder x") for grey in (1, 2, 2, 3)]
    assert take(tmp_path / "new", "scratch", "ann", offers).added == 3
    assert take(tmp_path / "new", "scratch", "ann", offers, most=1).known == 4
    index = tmp_path / "new" / INDEX
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(lines[:-1]))  # a power cut between picture and row
    assert take(tmp_path / "new", "scratch", "ann", offers).added == 1
    assert index.read_text().splitlines()[:3] == [line.strip() for line in lines[:3]]
    assert len(read_folder(tmp_path / "new", "scratch")) == 3
    index.write_text("nothing\n1\n")
    with pytest.raises(CalibrationError, match="move it aside"):
        read_index(tmp_path / "new")


def test_from_the_archive_by_what_was_said_and_relabelled_out_of_the_lesson(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, into = tmp_path / "archive", tmp_path / "new"
    for part, reason in enumerate(("defect", "uncertain", "uncertain"), 1):
        path = archive / Picture(part * 10**18, part, "reject", reason, ("reject",), "crack").path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(part))
    wanted = ["collect", "scratch", "--into", str(into), "--archive", str(archive), "--reason", "uncertain"]
    assert main([*wanted, "--by", "ann", "--format", "bayer_rg8"]) == 0
    newest, older = read_index(into)
    assert newest.origin == f"archive {archive}, part 3@{3 * 10**18}, by ann"
    assert (newest.was, newest.group, newest.pixel_format) == (
        "reject crack (uncertain)",
        f"3@{3 * 10**18}",
        "bayer_rg8",
    )
    assert main(["relabel", str(into / INDEX), older.path, "crack", "--by", "bob"]) == 0
    (left,) = read_folder(into, "scratch")
    assert (left.path.name, left.group, left.pixel_format) == (newest.path, newest.group, "bayer_rg8")
    changed = read_index(into)[1]
    assert (changed.label, changed.was) == ("crack", "scratch")
    assert changed.origin == f"operator bob; {older.origin}"
    assert main(["collect", "scratch", "--into", str(into)]) == 2
    assert "expected one of --archive" in capsys.readouterr().err


def test_from_a_running_line_while_the_frame_is_there(tmp_path: Path) -> None:
    region = _core.Region.create(str(tmp_path / "region"), frame_slots=2, slot_bytes=64)
    ring = _core.RecordRing.create(str(tmp_path / "ring"), capacity=256)
    models = Path(engines.__file__).parent / "models"
    told = InspectionConfig.model_construct(gate=models / "gate.yaml")
    offers = from_line(Followed(region, ring, told, ("no_part", "flawless")), "one", limit_s=60)
    for part in (1, 2):  # only the second has a frame
        if part == 2:
            slot = region.claim_slot()
            assert slot is not None
            slot.pixels[:] = 7
            slot.publish(
                frame_id=0,
                trigger_id=part,
                encoder_count=0,
                exposure_end_ns=0,
                width=8,
                height=8,
                stride=8,
                pixel_format=PixelFormat.BAYER_RG8,
                status=FrameStatus.OK,
            )
        index = ring.append_unjudged(part_id=part, encoder_count=0, triggered_ns=1, deadline_ns=2)
        ring.acknowledge(
            index,
            verdict=Verdict.REJECT,
            reason=Reason.NO_VERDICT,
            result=PlcResult.ACKED,
            queued_ns=1,
            sent_ns=1,
            ack_ns=1,
        )
    found = next(offers)
    assert (found.group, found.pixel_format) == (f"2@{ring.identity}", "bayer_rg8")
    assert found.was == "reject no_part"
    shown = cv2.imdecode(np.frombuffer(found.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (shown == np.full((8, 8), 7, np.uint8)).all()
    region.status.stop = 1
    assert list(offers) == []
