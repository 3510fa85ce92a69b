import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge._core import FrameStatus, PixelFormat, Reason, Verdict
from edge.camera.kinds import check
from edge.camera.settings import RecordingSettings
from edge.errors import CameraError, RecordError
from edge.records.recorded import EMPTY, LOST, MISSED, STORED, RecordedLine
from edge.records.recording import Recorder, RunFacts, part_fields
from edge.records.replay_diff import diff

FACTS = RunFacts(line={"camera": {"kind": "twin"}}, engines={"gate": "abc"}, speed_m_per_s=1.2)


def record(line, folder, parts, **values):
    recorder = Recorder(line.region, folder, FACTS, **values)
    for part_id, grey, header in parts:
        line.show(part_id, grey, **header)
        recorder.add(line.finished())
    recorder.close()
    return recorder


PARTS = [
    (1, 200, {}),
    (2, 20, {}),
    (3, None, {}),
    (4, 90, {"status": FrameStatus.INCOMPLETE}),
    (5, 0, {"width": 0, "height": 0, "stride": 0, "status": FrameStatus.CORRUPT}),
    (6, 200, {"stride": 20, "height": 7}),
    (7, 120, {"width": 5, "height": 10, "stride": 16, "pixel_format": PixelFormat.BGR8}),
]


@pytest.mark.parametrize("file_format", ["png", "npy"])
def test_a_recording_holds_what_the_line_saw(make_line, tmp_path, file_format):
    recorder = record(make_line("line"), tmp_path / "rec", PARTS, file_format=file_format)
    recorded = RecordedLine.load(tmp_path / "rec")
    assert recorded.finished and not recorded.problems
    assert (recorded.line, recorded.engines, recorded.speed_m_per_s) == (FACTS.line, FACTS.engines, 1.2)
    assert recorded.counts == {"parts": 7, "frames": 5, "missed_frames": 0, "dropped_parts": 0}
    assert recorder.counts.parts == 7
    assert [part.frame.state for part in recorded.parts] == [
        *(STORED, STORED, LOST, STORED, EMPTY, STORED, STORED),
    ]
    assert [part.fields["reason"] for part in recorded.parts[2:5]] == [
        Reason.FRAME_LOST,
        Reason.FRAME_TORN,
        Reason.FRAME_CORRUPT,
    ]
    assert recorded.parts[1].fields["encoder_count"] == 20
    whole = (np.arange(200) % 8).astype(np.uint8)
    assert np.array_equal(recorded.pixels(recorded.parts[0]), (whole + 200).reshape(10, 20))
    colour = (whole[:160] + 120).reshape(10, 16)[:, :15].reshape(10, 5, 3)
    assert np.array_equal(recorded.pixels(recorded.parts[6]), colour)


@pytest.mark.parametrize("pace", ["fast", "recorded"])
def test_a_replay_of_the_same_line_has_no_difference(make_line, tmp_path, pace):
    record(make_line("line"), tmp_path / "rec", PARTS)
    recorded = RecordedLine.load(tmp_path / "rec")
    replayed = make_line("again").replay(tmp_path / "rec", pace=pace)
    assert list(replayed["part_id"]) == [1, 2, 3, 4, 5, 6, 7]
    assert list(replayed["encoder_count"]) == [10, 20, 30, 40, 50, 60, 70]
    result = diff(recorded.parts, [part_fields(r) for r in replayed])
    assert result.empty and result.exit_status == 0, result.summary()
    assert (result.compared, result.timing) == (7, [])


def test_a_changed_verdict_shows_in_the_diff(make_line, tmp_path):
    record(make_line("line"), tmp_path / "rec", PARTS)
    recorded = RecordedLine.load(tmp_path / "rec")
    dark = np.zeros((10, 20), np.uint8)
    path = tmp_path / "rec" / "frames" / "00000001.png"
    cv2.imwrite(str(path), dark)
    replayed = make_line("again").replay(tmp_path / "rec")
    result = diff(recorded.parts, [part_fields(r) for r in replayed])
    assert result.exit_status == 1
    assert {difference.part_id for difference in result.differences} == {1}
    assert "part 1: verdict was pass, is reject" in result.summary()


def test_frames_that_left_the_ring_are_missed_and_left_out_of_the_replay(make_line, tmp_path):
    line = make_line("line", frame_slots=4)
    recorder = Recorder(line.region, tmp_path / "rec", FACTS)
    for part_id in range(1, 11):
        line.show(part_id, 200)
    recorder.add(line.finished())
    recorder.close()
    recorded = RecordedLine.load(tmp_path / "rec")
    assert [part.frame.state for part in recorded.parts] == [MISSED] * 6 + [STORED] * 4
    assert recorded.counts["missed_frames"] == 6
    replayed = make_line("again").replay(tmp_path / "rec")
    assert list(replayed["part_id"]) == [7, 8, 9, 10]
    result = diff(recorded.parts, [part_fields(r) for r in replayed])
    assert result.empty and result.compared == 4
    assert result.not_recorded == [1, 2, 3, 4, 5, 6]


def test_an_unfinished_recording_is_readable_up_to_where_it_got(make_line, tmp_path):
    line = make_line("line")
    recorder = Recorder(line.region, tmp_path / "rec", FACTS)
    for part_id in (1, 2, 3):
        line.show(part_id, 100)
    recorder.add(line.finished())
    parts = tmp_path / "rec" / "parts.jsonl"
    line.until(lambda: parts.read_bytes().count(b"\n") == 3, "the writer")
    data = parts.read_bytes()
    parts.write_bytes(data[:-20])
    recorded = RecordedLine.load(tmp_path / "rec")
    assert not recorded.finished
    assert [part.part_id for part in recorded.parts] == [1, 2]
    assert "line 3: not a part record, skipped" in recorded.problems[0]
    assert "not finished; it holds 2 parts" in recorded.problems[1]
    recorder.close()


def test_a_missing_frame_is_named_and_the_part_rejected(make_line, tmp_path):
    record(make_line("line"), tmp_path / "rec", PARTS[:2])
    (tmp_path / "rec" / "frames" / "00000002.png").unlink()
    recorded = RecordedLine.load(tmp_path / "rec")
    with pytest.raises(RecordError, match="the frame of part 2 is missing"):
        recorded.pixels(recorded.parts[1])
    replayed = make_line("again").replay(tmp_path / "rec")
    assert list(replayed["reason"]) == [Reason.NONE, Reason.FRAME_CORRUPT]


def test_what_is_no_recording_is_refused(make_line, tmp_path):
    with pytest.raises(RecordError, match="not a recording"):
        RecordedLine.load(tmp_path)
    with pytest.raises(CameraError, match="not a recording"):
        check(RecordingSettings(kind="recording", path=tmp_path))
    record(make_line("line"), tmp_path / "rec", PARTS[:1])
    index = tmp_path / "rec" / "recording.json"
    data = json.loads(index.read_text())
    index.write_text(json.dumps({**data, "version": 9}))
    with pytest.raises(RecordError, match="recording version 9; this runtime reads version 1"):
        RecordedLine.load(tmp_path / "rec")
    index.write_text("{")
    with pytest.raises(RecordError, match="not the index of a recording"):
        RecordedLine.load(tmp_path / "rec")


def test_a_folder_in_use_is_refused(make_line, tmp_path):
    line = make_line("line")
    record(line, tmp_path / "rec", PARTS[:1])
    with pytest.raises(RecordError, match="is not empty"):
        Recorder(line.region, tmp_path / "rec", FACTS)
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be written here"):
        Recorder(line.region, tmp_path / "file" / "rec", FACTS)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import JudgedLine
from test_recording import FACTS, Recorder

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[2])
line = JudgedLine(folder / "line")
recorder = Recorder(line.region, folder / "rec", FACTS, file_format="npy")
resource.setrlimit(resource.RLIMIT_FSIZE, (2600, resource.RLIM_INFINITY))
for part_id in range(1, 13):
    line.show(part_id, 200)
    recorder.add(line.finished())
recorder.close()
assert line.status.parts_decided == 12, line.status.parts_decided
print(recorder.counts.parts, recorder.counts.dropped_parts)
line.end()
"""


def test_a_full_disk_costs_no_part(tmp_path):
    """The file size limit stands for the full disk: parts.jsonl may not grow beyond it."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    here = Path(__file__).parent
    command = [sys.executable, "-c", FULL_DISK, str(here), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(here.parent.parent)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    kept, dropped = map(int, ended.stdout.split())
    assert kept >= 1 and dropped >= 1 and kept + dropped == 12
    assert ended.stderr.count("parts cannot be written") == 1
    recorded = RecordedLine.load(tmp_path / "rec")
    assert len(recorded.parts) == kept
    assert not [problem for problem in recorded.problems if "skipped" in problem]


def test_the_final_word_of_actuation_is_recorded(make_line, tmp_path):
    line = make_line("line")
    recorder = Recorder(line.region, tmp_path / "rec", FACTS)
    line.show(1, 200)
    recorder.add(line.finished())
    recorder.close()
    fields = RecordedLine.load(tmp_path / "rec").parts[0].fields
    assert (fields["verdict"], fields["final_verdict"]) == (Verdict.PASS, Verdict.PASS)
    assert fields["ack_ns"] >= fields["sent_ns"] >= fields["decided_ns"] >= fields["received_ns"]
