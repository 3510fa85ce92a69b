"""The ``camera`` section of a line file, and what the camera process is told about the line."""

import math
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from edge.settings import Settings

BYTES_PER_MIB = 1024 * 1024


class Roi(Settings):
    """Region of interest in frame pixels, measured from the upper left corner."""

    x: int = Field(default=0, ge=0, description="Left edge, pixels from the left side of the frame.")
    y: int = Field(default=0, ge=0, description="Upper edge, pixels from the top of the frame.")
    width: int = Field(ge=1, description="Width in pixels; what sticks out of the frame is cut off.")
    height: int = Field(ge=1, description="Height in pixels; what sticks out of the frame is cut off.")


class CommonCamera(Settings):
    """What every kind of camera has."""

    latches_encoder: ClassVar[bool] = False
    """Whether its triggers carry the count of the PLC's encoder."""

    max_frame_mib: float = Field(
        default=4.0,
        gt=0,
        le=256,
        description="Largest frame in MiB (the size of a slot of the frame ring). 1920x1200 needs 2.2 as "
        "mono8 or Bayer and 6.6 as bgr8. A larger frame is rejected as frame_oversize.",
    )
    frame_slots: int = Field(
        default=32,
        ge=4,
        le=1024,
        description="Frames that the ring holds. More slots give a recording more time to fetch frames; they "
        "cost max_frame_mib of memory each.",
    )
    frame_timeout_ms: float = Field(
        default=100.0,
        gt=0,
        le=10_000,
        description="Longest time from the trigger to the received frame. After that the part is rejected as "
        "frame_lost.",
    )
    roi: Roi | None = Field(
        default=None, description="Part of the frame that the engines see; leave it out for the whole frame."
    )

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot of the frame ring, a multiple of 4096."""
        return math.ceil(self.max_frame_mib * BYTES_PER_MIB / 4096) * 4096


class FileCamera(CommonCamera):
    """A camera that waits with showing parts until the line can take them."""

    wait_for_ready: bool = Field(
        default=True,
        description="Wait with the first part until the line is ready, that is until the PLC is connected "
        "and the engines are warm. false: start at once; parts are rejected until then.",
    )


class ManifestColumns(Settings):
    """Names of the columns of a manifest, for files that call them otherwise."""

    path: str = Field(default="path", description="Column with the picture's path, relative to the CSV file.")
    label: str = Field(default="class", description="Column with the class of the part; may be missing.")
    split: str = Field(default="split", description="Column that 'split' selects by; may be missing.")


class ReplaySettings(FileCamera):
    """Pictures from a folder or a manifest, shown at line speed."""

    kind: Literal["replay"]
    path: Path = Field(
        description="Folder of pictures (searched recursively, shown in sorted order), or a manifest: a CSV "
        "file with a column of picture paths."
    )
    pitch_mm: float = Field(
        default=100.0,
        gt=0,
        description="Distance between two parts on the belt; with the line speed it sets the pace.",
    )
    loop: bool = Field(default=False, description="Begin again after the last picture, without end.")
    limit: int | None = Field(default=None, ge=1, description="Show at most so many parts.")
    split: str | None = Field(
        default=None, description="Show only the rows with this value in the split column, e.g. test."
    )
    columns: ManifestColumns = ManifestColumns()
    pixel_format: Literal["mono8", "bgr8"] = Field(
        default="bgr8", description="What pictures are decoded to: mono8 (grey) or bgr8 (colour)."
    )


class VideoSettings(FileCamera):
    """A video file, a V4L2 device or a GStreamer pipeline, through OpenCV."""

    kind: Literal["video"]
    source: int | str = Field(
        description="Path of a video file, number or path of a V4L2 device (0, /dev/video0), or a GStreamer "
        "pipeline that ends in appsink."
    )
    backend: Literal["auto", "v4l2", "gstreamer", "file"] = Field(
        default="auto",
        description="auto: a number or /dev/... is v4l2, a text with '!' is gstreamer, the rest a file.",
    )
    pitch_mm: float = Field(
        default=100.0,
        gt=0,
        description="Video files only: distance between two parts; with the line speed it sets the pace. A "
        "device sets its own pace, and every frame is a part.",
    )
    width: int | None = Field(default=None, ge=1, description="Width to ask the V4L2 device for, pixels.")
    height: int | None = Field(default=None, ge=1, description="Height to ask the V4L2 device for, pixels.")
    fps: float | None = Field(default=None, gt=0, description="Frame rate to ask the V4L2 device for, 1/s.")
    limit: int | None = Field(default=None, ge=1, description="Show at most so many parts.")
    pixel_format: Literal["mono8", "bgr8"] = Field(
        default="bgr8", description="What frames are delivered as: mono8 (grey) or bgr8 (colour)."
    )


class TwinSettings(CommonCamera):
    """The simulated camera of the twin."""

    latches_encoder: ClassVar[bool] = True
    kind: Literal["twin"]
    socket: Path | None = Field(
        default=None, description="Unix socket of the twin camera. Leave it out: the runtime fills it in."
    )


class RecordingSettings(FileCamera):
    """The frames of a recorded run, with their triggers."""

    kind: Literal["recording"]
    path: Path = Field(description="Folder of the recording (the one with recording.json).")
    pace: Literal["fast", "recorded"] = Field(
        default="fast",
        description="fast: the next part as soon as the line has decided the last; recorded: as it was.",
    )


CameraSettings = Annotated[
    ReplaySettings | VideoSettings | TwinSettings | RecordingSettings, Field(discriminator="kind")
]


class CameraConfig(Settings):
    """All that ``edge.camera.host`` is told; line.py writes it as JSON."""

    camera: CameraSettings
    speed_m_per_s: float = Field(gt=0, description="Line speed that sets the pace of replay and video files.")
    counts_per_mm: float = Field(gt=0, description="Encoder counts per mm of belt.")
    cpus: tuple[int, ...] = Field(default=(), description="CPUs that the process may use; empty: all.")
    labels_path: Path | None = Field(default=None, description="Where to write the labels, if known.")
