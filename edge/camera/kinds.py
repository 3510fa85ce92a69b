"""Which class serves which kind of camera."""

from collections.abc import Callable
from typing import Any, NamedTuple

from edge.camera.aravis import AravisCamera
from edge.camera.base import Camera
from edge.camera.gentl import GentlCamera
from edge.camera.gstreamer import GstreamerCamera
from edge.camera.pylon import PylonCamera
from edge.camera.recording import RecordingCamera
from edge.camera.replay import ReplayCamera
from edge.camera.settings import CameraSettings
from edge.camera.twin import TwinCamera
from edge.camera.video import VideoCamera


class Kind(NamedTuple):
    """How a kind is made, and what ``edge check`` asks of it."""

    make: Callable[[Any], Camera]
    check: Callable[[Any], None]


KINDS = {
    "replay": Kind(ReplayCamera, ReplayCamera.check),
    "video": Kind(VideoCamera, VideoCamera.check),
    "twin": Kind(TwinCamera, TwinCamera.check),
    "gentl": Kind(GentlCamera, GentlCamera.check),
    "pylon": Kind(PylonCamera, PylonCamera.check),
    "gstreamer": Kind(GstreamerCamera, GstreamerCamera.check),
    "aravis": Kind(AravisCamera, AravisCamera.check),
    "recording": Kind(RecordingCamera, RecordingCamera.check),
}


def make_camera(settings: CameraSettings) -> Camera:
    """Raises CameraError when there is nothing that it could show."""
    return KINDS[settings.kind].make(settings)


def check(settings: CameraSettings) -> None:
    """Looks whether the source is there, without starting it. Raises CameraError with what to mend."""
    KINDS[settings.kind].check(settings)
