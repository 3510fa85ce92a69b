"""The ``camera`` section of a line file, and what the camera process is told about the line."""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edge.settings import Settings

BYTES_PER_MIB = 1024 * 1024


class Roi(Settings):
    """Region of interest in frame pixels, measured from the upper left corner."""

    x: int = Field(default=0, ge=0, description="Left edge, pixels from the left side of the frame.")
    y: int = Field(default=0, ge=0, description="Upper edge, pixels from the top of the frame.")
    width: int = Field(ge=1, description="Width in pixels; what sticks out of the frame is cut off.")
    height: int = Field(ge=1, description="Height in pixels; what sticks out of the frame is cut off.")


class LightChannel(Settings):
    """One output of the light controller."""

    number: int = Field(ge=1, le=16, description="Number of the output.")
    intensity: int = Field(ge=1, le=1000, description="In steps of the controller.")
    strobe_us: int = Field(
        default=0, ge=0, le=100_000, description="Width of the flash, µs; 0: steady light."
    )


class LightSettings(Settings):
    """A light or strobe controller on a serial line; off when the line ends."""

    port: str = Field(description="Serial device, better /dev/serial/by-id/... than /dev/ttyUSB0.")
    baud: int = Field(default=9600, ge=1200, le=921_600, description="Bits per second.")
    protocol: Literal["plain"] = Field(
        default="plain", description="How the controller speaks, see docs/cameras.md."
    )
    channels: tuple[LightChannel, ...] = Field(
        min_length=1, max_length=16, description="What is lit, and how."
    )

    @field_validator("channels")
    @classmethod
    def _once_each(cls, channels: tuple[LightChannel, ...]) -> tuple[LightChannel, ...]:
        numbers = [channel.number for channel in channels]
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"channels {numbers}: each number once, expected")
        return channels


class CommonCamera(Settings):
    """What every kind of camera has."""

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
    silence_limit_ms: float = Field(
        default=2000.0,
        gt=0,
        le=600_000,
        description="Free-running cameras only: without a frame for so long the camera counts as lost and is opened "
        "again. One with a part sensor is lost after three triggers without a frame within frame_timeout_ms.",
    )
    roi: Roi | None = Field(
        default=None, description="Part of the frame that the engines see; leave it out for the whole frame."
    )

    light: LightSettings | None = Field(
        default=None,
        description="Light controller; while it does not have these values the line is not ready, and parts are "
        "rejected as underexposed.",
    )
    flat_field: Path | None = Field(
        default=None,
        description="Dark and flat-field map of this camera and lens, made by `edge camera flatfield`; frames of "
        "another size are rejected.",
    )

    @property
    def latches_encoder(self) -> bool:
        """Whether its triggers carry the count of the PLC's encoder."""
        return False

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


class GenicamSettings(CommonCamera):
    """What every camera with GenICam features has."""

    device: str | None = Field(
        default=None,
        description="Id, serial number, user-defined name or model of the camera; may be left out where there is one.",
    )
    trigger: Literal["hardware", "free"] = Field(
        default="hardware",
        description="hardware: the part sensor triggers the camera, and every frame is a part; free: the camera "
        "runs at its own rate.",
    )
    trigger_source: str = Field(default="Line1", description="Input of the part sensor, as GenICam names it.")
    pixel_format: str | None = Field(
        default=None,
        description="Mono8, BayerRG8, BGR8, RGB8, BGRa8 or RGBa8; left out, what the camera is set to.",
    )
    exposure_us: float | None = Field(default=None, gt=0, le=1e6, description="Exposure time, µs.")
    gain: float | None = Field(default=None, description="Gain, in the camera's own unit (mostly dB).")
    features: dict[str, bool | int | float | str] = Field(
        default={},
        description="Further GenICam features by name, written in this order before the start.",
    )

    def genicam_features(self) -> dict[str, bool | int | float | str]:
        """Everything that is written when the camera is opened, in order."""
        named: dict[str, bool | int | float | str | None] = {
            "PixelFormat": self.pixel_format,
            "ExposureTime": self.exposure_us,
            "Gain": self.gain,
        }
        if self.trigger == "hardware":
            named |= {
                "TriggerSelector": "FrameStart",
                "TriggerSource": self.trigger_source,
                "TriggerMode": "On",
            }
        return {name: value for name, value in named.items() if value is not None} | self.features


class GentlSettings(GenicamSettings):
    """A camera behind any vendor's GenTL producer, through harvesters (extra: gentl)."""

    kind: Literal["gentl"]
    producers: tuple[Path, ...] = Field(
        default=(), description="The vendor's .cti files; left out, those on GENICAM_GENTL64_PATH."
    )


class PylonSettings(GenicamSettings):
    """A Basler camera through pypylon (extra: pylon)."""

    kind: Literal["pylon"]


class GstreamerSettings(CommonCamera):
    """A pipeline of the system's GStreamer, in a process of its own."""

    kind: Literal["gstreamer"]
    pipeline: str | None = Field(
        default=None,
        description="Source part of a pipeline, such as 'v4l2src device=/dev/video0 ! videoconvert'; caps and sink are "
        "added. Left out: a template.",
    )
    template: Literal["argus", "v4l2", "test"] = Field(
        default="argus", description="argus: CSI camera of a Jetson; v4l2: USB camera; test: a moving ball."
    )
    sensor: int = Field(default=0, ge=0, le=63, description="Number of the sensor or of /dev/video.")
    width: int = Field(ge=2, le=16384, description="Width of the frames, pixels.")
    height: int = Field(ge=2, le=16384, description="Height of the frames, pixels.")
    fps: int = Field(default=30, ge=1, le=1000, description="Frame rate that the template asks for, 1/s.")
    pixel_format: Literal["mono8", "bgr8", "bayer_rg8"] = Field(
        default="bgr8", description="What the pipeline delivers."
    )
    trigger: Literal["hardware", "free"] = Field(
        default="free",
        description="hardware: the part sensor triggers the camera, silence is no loss; free: it runs at its own rate.",
    )
    ends: bool = Field(
        default=False,
        description="true: the source has an end, such as a file, and the line ends with it; false: an end is a loss.",
    )


class TwinSettings(CommonCamera):
    """The simulated camera of the twin."""

    kind: Literal["twin"]
    socket: Path | None = Field(
        default=None, description="Unix socket of the twin camera. Leave it out: the runtime fills it in."
    )

    @property
    def latches_encoder(self) -> bool:
        """The twin does."""
        return True


class AutoExposureSettings(Settings):
    """Follows slow changes of the light: small bounded steps, only while no part is in view."""

    mean: float = Field(
        gt=0, lt=255, description="Wanted mean grey level of the parts' frames (within the roi)."
    )
    lowest_us: float = Field(gt=0, description="Never shorter, µs.")
    highest_us: float = Field(gt=0, description="Never longer, µs: motion blur grows with it.")
    tolerance: float = Field(
        default=0.1, ge=0.01, le=0.5, description="Share of the mean within which nothing is changed."
    )
    step: float = Field(
        default=0.05, ge=0.001, le=0.2, description="Largest change at once, a share; at most the tolerance."
    )
    parts: int = Field(
        default=20, ge=1, le=10_000, description="Frames that are averaged, all since the last change."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "AutoExposureSettings":
        if self.lowest_us >= self.highest_us:
            raise ValueError(f"lowest_us {self.lowest_us:g} is not below highest_us {self.highest_us:g}")
        if self.step > self.tolerance:
            raise ValueError(
                f"step {self.step:g} is larger than tolerance {self.tolerance:g}: it would go to and fro"
            )
        return self


class SensorRegion(Settings):
    """What the camera reads out of its sensor, pixels. Less is faster; see also ``roi``, which the engines use."""

    x: int = Field(default=0, ge=0, description="Left edge on the sensor.")
    y: int = Field(default=0, ge=0, description="Upper edge on the sensor.")
    width: int = Field(ge=1, description="Width; the camera may demand a multiple of 2, 4 or more.")
    height: int = Field(ge=1, description="Height; the camera may demand a multiple of 2 or more.")


class AravisSettings(CommonCamera):
    """A GigE Vision or USB3 Vision camera, natively through Aravis."""

    kind: Literal["aravis"]
    device: str | None = Field(
        default=None,
        description="Serial number, IP address, or name as 'edge camera list' has it; left out: the only one there is.",
    )
    pixel_format: Literal["Mono8", "BayerRG8", "BGR8", "BGRa8"] = Field(
        default="Mono8", description="GenICam's name of the pixel format."
    )
    region: SensorRegion | None = Field(
        default=None, description="Part of the sensor to read out; left out: as the camera has it."
    )
    exposure_us: float | None = Field(
        default=None, gt=0, description="Exposure time; left out: the camera's."
    )
    gain: float | None = Field(default=None, ge=0, description="Gain in the camera's unit (dB or raw).")
    auto_exposure: AutoExposureSettings | None = Field(
        default=None, description="Changes exposure_us, which is where it begins; left out: nothing does."
    )
    trigger: Literal["hardware", "software", "free"] = Field(
        default="hardware",
        description="hardware: the part sensor is wired to the camera; software: we fire it when the part sensor tells "
        "us; free: frames at frame_rate, every one is a part.",
    )
    trigger_source: str = Field(default="Line0", description="The camera's input of a hardware trigger.")
    frame_rate: float | None = Field(default=None, gt=0, description="Frames per second of a free run.")
    trigger_to_exposure_ms: float = Field(
        default=15.0,
        gt=0,
        le=1000,
        description="With a part sensor: longest time from its trigger to the exposure. A frame exposed later is "
        "nobody's. Well below the time between two parts.",
    )
    clock: Literal["free", "utc"] = Field(
        default="free",
        description="utc: the camera's clock is disciplined (PTP) to the UTC of this machine, its stamps are absolute. "
        "free: it runs by itself; it is mapped to ours by the fastest frame, whose own way (some ms) stays unknown.",
    )
    chunks: bool = Field(
        default=False,
        description="Every frame brings the time that it was exposed (chunk ExposureTime): the end of exposure is then "
        "that frame's own, not exposure_us.",
    )
    packet_size: int = Field(
        default=8000,
        ge=576,
        le=16_000,
        description="Bytes of a GigE Vision packet with its IP header. The network interface's MTU must be as large: "
        "8000 wants jumbo frames (MTU 9000), 1500 fits every network at more load.",
    )
    socket_buffer_mib: float = Field(
        default=4.0, gt=0, le=256, description="Receive buffer; the system's net.core.rmem_max limits it."
    )
    packet_socket: bool = Field(
        default=False,
        description="Receive through a packet socket (needs CAP_NET_RAW; never used on loopback, where it is blind).",
    )
    packet_resend: bool = Field(default=True, description="Ask the camera for packets that were lost.")
    frame_retention_ms: float = Field(
        default=20.0,
        gt=0,
        le=1000,
        description="An incomplete frame is given up so long after its last packet.",
    )
    buffers: int = Field(
        default=8,
        ge=2,
        le=64,
        description="Slots of the ring that the driver holds to fill; below frame_slots.",
    )
    lost_after: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Frames that do not come in a row before the camera counts as gone.",
    )
    part_sensor: Path | None = Field(
        default=None,
        description="Unix socket on which the part sensor tells of parts (the twin's; the runtime fills it in). Left "
        "out: every frame is a part.",
    )

    @property
    def latches_encoder(self) -> bool:
        """The part sensor's triggers do."""
        return self.part_sensor is not None

    @model_validator(mode="after")
    def _makes_sense(self) -> "AravisSettings":
        if self.trigger == "software" and self.part_sensor is None:
            raise ValueError(
                "trigger software without part_sensor: nobody says when to fire; set part_sensor, or trigger: hardware "
                "or free"
            )
        auto = self.auto_exposure
        if auto is not None and not auto.lowest_us <= (self.exposure_us or 0) <= auto.highest_us:
            raise ValueError(
                f"auto_exposure from {auto.lowest_us:g} to {auto.highest_us:g} µs, exposure_us {self.exposure_us}: set "
                "exposure_us, where it begins, to a value between the two"
            )
        if self.buffers > self.frame_slots - 2:
            raise ValueError(
                f"buffers {self.buffers} of frame_slots {self.frame_slots}: at least 2 slots must be left to the loop; "
                f"set frame_slots to {self.buffers + 2} or more"
            )
        return self


class RecordingSettings(FileCamera):
    """The frames of a recorded run, with their triggers."""

    kind: Literal["recording"]
    path: Path = Field(description="Folder of the recording (the one with recording.json).")
    pace: Literal["fast", "recorded"] = Field(
        default="fast",
        description="fast: the next part as soon as the line has decided the last; recorded: as it was.",
    )
    judged_by: tuple[tuple[int, bool, int], ...] = Field(
        (),
        description="Recipe in the recording, whether what stood by for it judged, and its number here (edge replay).",
    )


CameraSettings = Annotated[
    ReplaySettings
    | VideoSettings
    | TwinSettings
    | RecordingSettings
    | GentlSettings
    | PylonSettings
    | GstreamerSettings
    | AravisSettings,
    Field(discriminator="kind"),
]


class CameraConfig(Settings):
    """All that ``edge.camera.host`` is told; line.py writes it as JSON."""

    camera: CameraSettings
    speed_m_per_s: float = Field(gt=0, description="Line speed that sets the pace of replay and video files.")
    counts_per_mm: float = Field(gt=0, description="Encoder counts per mm of belt.")
    cpus: tuple[int, ...] = Field(default=(), description="CPUs that the process may use; empty: all.")
    labels_path: Path | None = Field(default=None, description="Where to write the labels, if known.")
