"""Camera kind ``video``: files, V4L2 devices and GStreamer pipelines through OpenCV."""

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edge._core import FrameStatus, PixelFormat, now_ns
from edge.camera.base import Camera, EndOfStream, Outcome, Target, oversize_text
from edge.camera.replay import FORMATS, fill
from edge.camera.settings import VideoSettings
from edge.errors import CameraError

log = logging.getLogger(__name__)

_APIS = {"v4l2": cv2.CAP_V4L2, "gstreamer": cv2.CAP_GSTREAMER, "file": cv2.CAP_ANY}


class VideoCamera(Camera):
    """Every frame is a part: a file at line speed, a device at its own pace."""

    decodes = True

    def __init__(self, settings: VideoSettings) -> None:
        self._settings = settings
        self._backend = backend_of(settings)
        self._format = FORMATS[settings.pixel_format]
        self._capture: cv2.VideoCapture | None = None
        self._shown = 0
        self.free_running = self._backend != "file"
        if self._backend == "file":
            self.pitch_mm = settings.pitch_mm

    @staticmethod
    def check(settings: VideoSettings) -> None:
        """Raises CameraError when the source is not there or OpenCV cannot open its kind."""
        _CHECKS[backend_of(settings)](settings.source)

    def open(self, shown: int) -> None:
        """Opens the source; a file is wound past the frames that were shown before."""
        self.check(self._settings)
        source = self._settings.source
        capture = cv2.VideoCapture(source, _APIS[self._backend])
        if not capture.isOpened():
            capture.release()
            raise CameraError(
                f"{source}: cannot be opened by OpenCV's {self._backend} reader{_hint(self._backend)}"
            )
        if self._backend == "v4l2":
            self._ask_device(capture)
        if self._backend == "file":
            for _ in range(shown):
                capture.grab()
        self._capture, self._shown = capture, shown

    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """Waits for the next frame; OpenCV bounds the wait of a device at about 10 s."""
        if self._capture is None:
            raise CameraError(f"{self._settings.source}: not open")
        if self._settings.limit is not None and self._shown >= self._settings.limit:
            return EndOfStream()
        if not self._capture.grab():
            return self._ended()
        exposure_end_ns = now_ns()
        ok, picture = self._capture.retrieve()
        if not ok:
            return self._ended()
        self._shown += 1
        if self._format is PixelFormat.MONO8 and picture.ndim == 3:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        elif self._format is PixelFormat.BGR8 and picture.ndim == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
        pixels = target()
        frame = fill(pixels, np.asarray(picture), self._format)
        if frame.status is FrameStatus.OVERSIZE and self._shown == 1:
            log.warning("%s", oversize_text(f"{self._settings.source}, every frame", frame, pixels.size))
        return replace(frame, exposure_end_ns=exposure_end_ns) if self.pitch_mm is None else frame

    def close(self) -> None:
        """Releases the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _ended(self) -> EndOfStream:
        if self._backend != "file":
            raise CameraError(f"{self._settings.source}: gives no frames any more; is the camera plugged in?")
        return EndOfStream()

    def _ask_device(self, capture: cv2.VideoCapture) -> None:
        asked = {
            cv2.CAP_PROP_FRAME_WIDTH: self._settings.width,
            cv2.CAP_PROP_FRAME_HEIGHT: self._settings.height,
            cv2.CAP_PROP_FPS: self._settings.fps,
        }
        for prop, value in asked.items():
            if value is not None:
                capture.set(prop, value)
                given = capture.get(prop)
                if abs(given - value) > 0.5:
                    log.warning("%s: asked for %g, the device gives %g", self._settings.source, value, given)


def backend_of(settings: VideoSettings) -> str:
    """Which reader a source needs, where the settings leave it open."""
    source = settings.source
    if settings.backend != "auto":
        return settings.backend
    if isinstance(source, int) or source.startswith("/dev/"):
        return "v4l2"
    return "gstreamer" if "!" in source else "file"


def _check_file(source: int | str) -> None:
    if not Path(str(source)).is_file():
        raise CameraError(
            f"{source}: there is no such video file; expected a file, a device (0 or /dev/video0) or a "
            "GStreamer pipeline with '!'"
        )


def _check_device(source: int | str) -> None:
    device = Path(f"/dev/video{source}" if isinstance(source, int) else source)
    if not device.exists():
        found = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "none"
        raise CameraError(f"{device}: there is no such camera; devices found: {found}")


def _check_gstreamer(source: int | str) -> None:
    if not has_gstreamer():
        raise CameraError(
            f"camera.source is a GStreamer pipeline, but this OpenCV ({cv2.__version__}) was built without "
            "GStreamer, as the wheels from PyPI are. Use the OpenCV of JetPack or the "
            "distribution (apt-get install "
            "python3-opencv, in a virtual environment with --system-site-packages), or use v4l2"
        )
    if "appsink" not in str(source):
        raise CameraError(
            f"camera.source: the pipeline has no appsink; let it end in '... ! appsink': {source}"
        )


def has_gstreamer() -> bool:
    """True when this OpenCV can run pipelines."""
    lines = (line.partition(":") for line in cv2.getBuildInformation().splitlines())
    return any(key.strip() == "GStreamer" and value.strip().startswith("YES") for key, _, value in lines)


def _hint(backend: str) -> str:
    hints = {
        "v4l2": ": is another program using it, and is this user in the group video?",
        "gstreamer": ": try the pipeline with gst-launch-1.0",
        "file": ": expected a container and codec that FFmpeg knows",
    }
    return hints[backend]


_CHECKS = {"file": _check_file, "v4l2": _check_device, "gstreamer": _check_gstreamer}
