import cv2
import numpy as np
import pytest

from edge._core import FrameStatus, PixelFormat
from edge.camera.kinds import check
from edge.camera.settings import VideoSettings
from edge.camera.video import backend_of, has_gstreamer
from edge.errors import CameraError


def video(path, frames=5, size=(64, 48)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
    assert writer.isOpened()
    for i in range(frames):
        writer.write(np.full((size[1], size[0], 3), 40 * i + 20, np.uint8))
    writer.release()
    return path


def source(value, **values):
    return VideoSettings(kind="video", source=value, **values)


@pytest.mark.parametrize(("pixel_format", "size"), [("bgr8", 3), ("mono8", 1)])
def test_every_frame_of_a_file_is_a_part(line, tmp_path, pixel_format, size):
    path = video(tmp_path / "parts.avi")
    line.run(kind="video", source=path, pitch_mm=10, wait_for_ready=False, pixel_format=pixel_format)
    assert sorted(line.triggers) == [1, 2, 3, 4, 5]
    for i in range(1, 6):
        frame = line.frame(i)
        assert (frame.width, frame.height, frame.status) == (64, 48, FrameStatus.OK)
        assert frame.pixels.size == 64 * 48 * size
        assert abs(float(frame.pixels.mean()) - (40 * i - 20)) < 4
    assert frame.pixel_format == (PixelFormat.BGR8 if size == 3 else PixelFormat.MONO8)


def test_limit(line, tmp_path):
    line.run(kind="video", source=video(tmp_path / "a.avi"), pitch_mm=10, wait_for_ready=False, limit=2)
    assert sorted(line.triggers) == [1, 2]


def test_a_file_that_is_no_video_is_not_ready(line, tmp_path, until):
    (tmp_path / "a.avi").write_bytes(b"no video at all")
    line.start(kind="video", source=tmp_path / "a.avi", wait_for_ready=False)
    until(lambda: "cannot be opened" in line.log, "the message")
    assert line.status.camera_ready == 0
    # It is tried again: the moment that a whole file lies there the parts come.
    video(tmp_path / "b.avi").replace(tmp_path / "a.avi")
    line.finish()
    assert len(line.triggers) == 5


def test_the_reader_follows_from_the_source():
    assert backend_of(source(0)) == backend_of(source("/dev/video3")) == "v4l2"
    assert backend_of(source("videotestsrc ! appsink")) == "gstreamer"
    assert backend_of(source("parts.avi")) == "file"
    assert backend_of(source("parts.avi", backend="v4l2")) == "v4l2"


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(CameraError, match="no such video file"):
        check(source(str(tmp_path / "nothing.avi")))
    with pytest.raises(CameraError, match="/dev/video97: there is no such camera; devices found"):
        check(source(97))


@pytest.mark.skipif(has_gstreamer(), reason="this OpenCV has GStreamer")
def test_opencv_without_gstreamer_says_so():
    with pytest.raises(CameraError, match="without GStreamer"):
        check(source("videotestsrc ! appsink"))
