"""Camera kind ``gstreamer``: a pipeline of the system's GStreamer in a child process, raw frames over a pipe.

OpenCV's wheel has no GStreamer; the tools of the system do, and a pipeline that crashes takes nothing with it.
"""

import logging
import os
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
from typing import IO

from edge._core import FrameStatus, PixelFormat, now_ns
from edge.camera.base import CHANNELS, Camera, EndOfStream, Frame, Outcome, Target, oversize_text
from edge.camera.settings import GstreamerSettings
from edge.errors import CameraError

log = logging.getLogger(__name__)

LAUNCH = "gst-launch-1.0"
STALL_S = 1.0
"""Longest pause within a frame before the source counts as gone."""
PIPE_BYTES = 1 << 20
END_S = 2.0

CAPS = {
    "mono8": (PixelFormat.MONO8, "video/x-raw,format=GRAY8"),
    "bgr8": (PixelFormat.BGR8, "video/x-raw,format=BGR"),
    "bayer_rg8": (PixelFormat.BAYER_RG8, "video/x-bayer,format=rggb"),
}
TEMPLATES = {
    "argus": "nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),width={width},height={height},"
    "framerate={fps}/1 ! nvvidconv ! video/x-raw,format={nv_format} ! videoconvert",
    "v4l2": "v4l2src device=/dev/video{sensor} ! videoconvert ! videoscale ! videorate ! video/x-raw,framerate={fps}/1",
    "test": "videotestsrc is-live=true pattern=ball ! video/x-raw,framerate={fps}/1",
}
"""Pipelines up to the caps that end them; argus is the CSI camera of a Jetson."""


class GstreamerCamera(Camera):
    """Every frame is a part, at the source's own pace."""

    def __init__(self, settings: GstreamerSettings) -> None:
        self._settings = settings
        self.free_running = settings.trigger == "free"
        self._format, self._caps = CAPS[settings.pixel_format]
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._said: IO[bytes] | None = None
        self._told_oversize = False

    @staticmethod
    def check(settings: GstreamerSettings) -> None:
        """Raises CameraError when GStreamer, or an element of the pipeline, is not there."""
        if shutil.which(LAUNCH) is None:
            raise CameraError(
                f"camera kind 'gstreamer' needs {LAUNCH}; install it: apt-get install gstreamer1.0-tools "
                "gstreamer1.0-plugins-good"
            )
        inspect = shutil.which("gst-inspect-1.0")
        for element in _elements(pipeline(settings)) if inspect else ():
            if subprocess.run([inspect or "", "--exists", element], check=False).returncode:
                raise CameraError(
                    f"camera.pipeline: GStreamer has no element '{element}'; correct it, or install its plugin"
                )

    def open(self, shown: int) -> None:
        """Starts the pipeline. That it shows something is known with its first frame only."""
        self.check(self._settings)
        self._pipe, write = os.pipe()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the child)
        size = f"width={self._settings.width},height={self._settings.height}"
        # Between two caps there must be an element.
        sink = ["!", "identity", "!", f"{self._caps},{size}", "!", "fdsink", f"fd={write}", "sync=false"]
        try:
            self._child = subprocess.Popen(
                [LAUNCH, "-q", *shlex.split(pipeline(self._settings)), *sink],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                pass_fds=(write,),
                start_new_session=True,  # Ctrl-C of a terminal is not for it; without its reader it ends by itself
            )
        except OSError as error:
            raise CameraError(f"{LAUNCH} cannot be started: {error.strerror}") from error
        finally:
            os.close(write)
        os.set_blocking(self._pipe, False)

    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """The next frame, received as a whole."""
        if self._child is None:
            raise CameraError(f"{self._name}: not open")
        if not select.select([self._pipe], [], [], timeout_ms / 1e3)[0]:
            return None
        stamp_ns = now_ns()
        pixels = target()
        stride = (
            -(-self._settings.width * CHANNELS[self._format] // 4) * 4
        )  # GStreamer's rows are whole words
        size = stride * self._settings.height
        fits = size <= pixels.size
        got = self._receive(pixels.data[:size] if fits else memoryview(bytearray(size)))
        if not got:
            return self._ended()
        frame = Frame(
            self._settings.width,
            self._settings.height,
            stride,
            self._format,
            FrameStatus.OK if fits else FrameStatus.OVERSIZE,
            exposure_end_ns=stamp_ns,
        )
        if not fits and not self._told_oversize:
            self._told_oversize = True
            log.warning("%s", oversize_text(f"{self._name}, every frame", frame, pixels.size))
        return frame

    def close(self) -> None:
        """Ends the pipeline, if need be by force."""
        child, self._child = self._child, None
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(END_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._said is not None:
            self._said.close()
            self._said = None

    @property
    def _name(self) -> str:
        return f"GStreamer ({pipeline(self._settings).partition(' ')[0]})"

    def _receive(self, view: memoryview) -> bool:
        """Fills the view; False: the stream ended between two frames. Raises CameraError in mid-frame."""
        done = 0
        while done < len(view):
            if not select.select([self._pipe], [], [], STALL_S)[0]:
                raise CameraError(f"{self._name}: stopped in mid-frame after {done} of {len(view)} bytes")
            count = os.readv(self._pipe, [view[done:]])
            if count == 0 and done:
                raise CameraError(
                    f"{self._name}: ended in mid-frame after {done} of {len(view)} bytes; {self._why()}"
                )
            if count == 0:
                return False
            done += count
        return True

    def _ended(self) -> Outcome:
        child = self._child
        code = child.wait(END_S) if child is not None else 0
        if code == 0 and self._settings.ends:
            return EndOfStream()
        raise CameraError(f"{self._name}: the pipeline ended with {code}; {self._why()}")

    def _why(self) -> str:
        if self._said is None:
            return "it said nothing"
        self._said.seek(0)
        text = self._said.read().decode(errors="replace")
        lines = [
            line.strip() for line in text.splitlines() if "ERROR" in line or "WARNING: erroneous" in line
        ]
        return " ".join(lines[:2]) or f"try it: {LAUNCH} {pipeline(self._settings)} ! fakesink"


def pipeline(settings: GstreamerSettings) -> str:
    """The text up to the caps: the line file's own, or a template with its numbers."""
    if settings.pipeline is not None:
        return settings.pipeline
    return TEMPLATES[settings.template].format(
        sensor=settings.sensor,
        width=settings.width,
        height=settings.height,
        fps=settings.fps,
        nv_format="GRAY8" if settings.pixel_format == "mono8" else "BGRx",
    )


def _elements(text: str) -> list[str]:
    """First words between the exclamation marks that name an element; caps have a slash."""
    words = [part.split()[0] for part in text.split("!") if part.split()]
    return [word for word in words if "/" not in word and "=" not in word and not word.endswith(".")]
