from pathlib import Path

import cv2
import numpy as np
import pytest

from edge._core import FrameStatus, PixelFormat
from edge.camera.kinds import check
from edge.camera.labels import Labels
from edge.camera.settings import CameraConfig, ReplaySettings
from edge.errors import CameraError

SIZES = ((31, 17), (64, 48), (1, 1), (101, 200))
FAST = {"pitch_mm": 10.0, "wait_for_ready": False}


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def folder_of(folder: Path, suffix: str = ".png") -> list[np.ndarray]:
    pictures = [picture(w, h, i) for i, (w, h) in enumerate(SIZES)]
    folder.mkdir()
    for i, pixels in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i}{suffix}"), pixels)
    return pictures


def settings(path: Path, **values) -> ReplaySettings:
    return ReplaySettings(kind="replay", path=path, **values)


def test_a_folder_of_odd_sizes_is_shown_in_order_at_line_speed(line, tmp_path):
    pictures = folder_of(tmp_path / "parts")
    line.run(kind="replay", path=tmp_path / "parts", pitch_mm=100.0, wait_for_ready=False)
    assert sorted(line.triggers) == [1, 2, 3, 4]
    for i, expected in enumerate(pictures, 1):
        frame = line.frame(i)
        assert (frame.width, frame.height) == (expected.shape[1], expected.shape[0])
        assert frame.pixel_format == PixelFormat.BGR8 and frame.status == FrameStatus.OK
        assert np.array_equal(frame.pixels.reshape(expected.shape), expected)
        assert frame.encoder_count == line.triggers[i][0]
        assert frame.received_ns >= frame.exposure_end_ns == line.triggers[i][1]
    # No part comes before its time, which is a pitch (50 ms) per part after the belt has started.
    stamps = [line.triggers[i][1] for i in range(1, 5)]
    counts = [line.triggers[i][0] for i in range(1, 5)]
    assert all(count >= 1000 * i - 1 for i, count in enumerate(counts, 1))
    assert counts == [pytest.approx(20_000 * (s - stamps[0]) / 1e9 + counts[0], abs=1) for s in stamps]
    assert line.stop() == 0


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp", ".jpg"])
def test_other_file_types(line, tmp_path, suffix):
    folder_of(tmp_path / "parts", suffix)
    line.run(kind="replay", path=tmp_path / "parts", **FAST)
    assert [line.frame(i).status for i in range(1, 5)] == [FrameStatus.OK] * 4


def test_mono(line, tmp_path):
    pictures = folder_of(tmp_path / "parts")
    line.run(kind="replay", path=tmp_path / "parts", pixel_format="mono8", **FAST)
    expected = cv2.cvtColor(pictures[1], cv2.COLOR_BGR2GRAY).astype(int)
    frame = line.frame(2)
    assert frame.pixel_format == PixelFormat.MONO8
    assert np.abs(frame.pixels.reshape(expected.shape) - expected).max() <= 1


def test_a_corrupt_picture_is_a_part_with_its_reason(line, tmp_path):
    folder_of(tmp_path / "parts")
    (tmp_path / "parts" / "0.png").write_bytes(b"")
    whole = (tmp_path / "parts" / "1.png").read_bytes()
    (tmp_path / "parts" / "1.png").write_bytes(whole[: len(whole) // 2])
    _, jpeg = cv2.imencode(".jpg", picture(300, 200))
    (tmp_path / "parts" / "2.jpg").write_bytes(bytes(jpeg)[: len(jpeg) // 2])
    line.run(kind="replay", path=tmp_path / "parts", **FAST)
    assert sorted(line.triggers) == [1, 2, 3, 4, 5]
    assert [line.frame(i).status for i in range(1, 6)] == [
        FrameStatus.CORRUPT,
        FrameStatus.CORRUPT,
        FrameStatus.CORRUPT,
        FrameStatus.OK,
        FrameStatus.OK,
    ]
    for name in ("0.png", "1.png", "2.jpg"):
        assert line.log.count(str(tmp_path / "parts" / name)) == 1


def test_a_picture_larger_than_a_slot_says_how_to_mend_it(small_line, tmp_path):
    folder_of(tmp_path / "parts")
    small_line.run(kind="replay", path=tmp_path / "parts", **FAST)
    assert [small_line.frame(i).status for i in (1, 2, 3)] == [
        FrameStatus.OK,
        FrameStatus.OVERSIZE,
        FrameStatus.OK,
    ]
    assert (small_line.frame(2).width, small_line.frame(2).height) == (64, 48)
    assert "Raise camera.max_frame_mib to 0.1" in small_line.log


def test_without_a_free_slot_the_part_is_known_and_the_frame_counted(small_line, tmp_path):
    (tmp_path / "parts").mkdir()
    for i in range(7):
        cv2.imwrite(str(tmp_path / "parts" / f"{i}.png"), picture(8, 8))
    small_line.run(kind="replay", path=tmp_path / "parts", **FAST)
    assert len(small_line.triggers) == 7
    assert small_line.status.frames_published == 4
    assert small_line.status.frames_dropped == 3


def test_labels_come_from_folders(line, tmp_path):
    for name in ("dent", "good"):
        (tmp_path / "parts" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "parts" / name / "a.png"), picture(8, 8))
    line.run(kind="replay", path=tmp_path / "parts", **FAST)
    labels = Labels.load(line.labels_path)
    assert [labels.of(i) for i in (0, 1, 2, 3)] == [None, "dent", "good", None]


def test_a_manifest_selects_and_labels(line, tmp_path):
    folder_of(tmp_path / "parts")
    (tmp_path / "list.csv").write_text(
        "path,class,split,boxes\nparts/0.png,dent,train,[]\nparts/1.png,good,test,[]\nparts/9.png,crack,test,[]\n"
    )
    line.run(kind="replay", path=tmp_path / "list.csv", split="test", **FAST)
    assert sorted(line.triggers) == [1, 2]
    assert (line.frame(1).width, line.frame(1).height) == SIZES[1]
    assert line.frame(2).status == FrameStatus.CORRUPT
    assert Labels.load(line.labels_path).names == ("good", "crack")


def test_loop_begins_again_up_to_the_limit(line, tmp_path):
    folder_of(tmp_path / "parts")
    line.run(kind="replay", path=tmp_path / "parts", loop=True, limit=9, **FAST)
    assert sorted(line.triggers) == list(range(1, 10))
    assert (line.frame(9).width, line.frame(9).height) == SIZES[0]


def test_waits_until_the_line_is_ready(line, tmp_path, until):
    folder_of(tmp_path / "parts")
    line.start(kind="replay", path=tmp_path / "parts", pitch_mm=10.0)
    until(lambda: "until the line is ready" in line.log, "the camera to say that it waits")
    assert line.status.camera_ready == 1 and line.status.triggers_pushed == 0
    beat_ns = line.status.camera_beat_ns
    until(lambda: line.status.camera_beat_ns > beat_ns, "the next beat")
    line.status.line_ready = 1
    line.finish()
    assert line.status.triggers_pushed == 4


def test_a_restarted_process_goes_on_where_the_last_one_died(line, tmp_path, until):
    folder_of(tmp_path / "parts")
    line.start(kind="replay", path=tmp_path / "parts", pitch_mm=600.0, wait_for_ready=False)
    until(lambda: line.status.frames_published >= 1, "the first frame")
    line.process.kill()
    line.process.wait()
    line.run(kind="replay", path=tmp_path / "parts", **FAST)
    assert sorted(line.triggers) == [1, 2, 3, 4]
    assert (line.frame(4).width, line.frame(4).height) == SIZES[3]


def test_sigterm_ends_cleanly(line, tmp_path, until):
    folder_of(tmp_path / "parts")
    line.start(kind="replay", path=tmp_path / "parts")
    until(lambda: line.status.camera_ready, "the camera")
    line.process.terminate()
    assert line.process.wait(10) == 0
    assert line.status.camera_ready == 0


def test_what_cannot_be_shown_is_refused_with_a_clear_text(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no_column.csv").write_text("file,class\na.png,b\n")
    (tmp_path / "no_rows.csv").write_text("path,split\na.png,train\n")
    cases = {
        "nowhere": ({}, "no such folder or manifest"),
        "empty": ({}, "no picture in this folder"),
        "no_column.csv": ({}, "no column 'path'; found file, class"),
        "no_rows.csv": ({"split": "test"}, "no row with split = test"),
    }
    for name, (values, text) in cases.items():
        with pytest.raises(CameraError, match=text) as caught:
            check(settings(tmp_path / name, **values))
        assert name in str(caught.value)


def test_the_host_says_what_is_wrong_and_ends(line, tmp_path):
    line.start(kind="replay", path=tmp_path / "nowhere")
    assert line.process.wait(20) == 2
    assert "no such folder or manifest" in line.log


def test_the_configuration_survives_json(tmp_path):
    config = CameraConfig(camera=settings(tmp_path), speed_m_per_s=1.2, counts_per_mm=10)
    assert CameraConfig.model_validate_json(config.model_dump_json()) == config


def test_pictures_changed_after_check_do_not_stop_the_line(line, tmp_path, until):
    folder_of(tmp_path / "parts")
    line.start(kind="replay", path=tmp_path / "parts", pitch_mm=10.0)
    until(lambda: line.status.camera_ready, "the camera")
    for path in (tmp_path / "parts").iterdir():
        path.unlink()
    line.status.line_ready = 1
    line.finish()
    assert [line.frame(i).status for i in range(1, 5)] == [FrameStatus.CORRUPT] * 4
