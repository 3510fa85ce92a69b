"""Camera kind ``aravis``: GigE Vision and USB3 Vision. The driver fills ring slots, a native thread publishes them.

``open`` and ``close`` may block (a camera that has gone holds every call for 2.5 s); ``grab`` never asks the camera.
"""

import logging
import threading
import time
from dataclasses import replace

from edge._core import AravisCapture, AravisDevice, CoreError, Region, load_aravis, now_ns
from edge.camera.aravis_setup import Place, find, open_device, reach, set_up
from edge.camera.base import Belt, Camera, Delivered, EndOfStream, Outcome, Target
from edge.camera.part_sensor import PartSensor
from edge.camera.settings import BYTES_PER_MIB, AravisSettings
from edge.camera.twin_wire import Message
from edge.errors import CameraError

log = logging.getLogger(__name__)

FIFO_PRIORITY = 52
LOOK_S = 0.01


class AravisCamera(Camera):
    """One camera; ``open`` and ``close`` may be repeated as often as it goes and comes."""

    fills_ring = True
    own_stamps = True

    def __init__(self, settings: AravisSettings) -> None:
        try:
            load_aravis()
        except CoreError as error:
            raise CameraError(str(error)) from error
        self._settings = settings
        self._place: Place | None = None
        self._device: AravisDevice | None = None
        self._capture: AravisCapture | None = None
        self._region: Region | None = None
        self._sensor: PartSensor | None = None
        self._end_ns = 0
        self._timeout_ns = 0
        self._frames = 0
        self._shoot = threading.Event()
        self._commands = threading.Lock()
        """One at a time to the device, and none while it is given up."""

    @staticmethod
    def check(settings: AravisSettings) -> None:
        """Looks for the library and the camera; takes seconds, changes nothing in the camera."""
        try:
            load_aravis()
        except CoreError as error:
            raise CameraError(str(error)) from error
        reach(find(settings))

    def join(self, region: Region, belt: Belt) -> None:
        """The ring that the driver will fill."""
        s = self._settings
        self._region = region
        self._timeout_ns = belt.frame_timeout_ns
        self._capture = AravisCapture(
            region,
            part_sensor=s.part_sensor is not None,
            buffers=s.buffers,
            frame_timeout_ns=belt.frame_timeout_ns,
            lost_after=s.lost_after,
            silence_ns=round(s.silence_limit_ms * 1e6) if s.trigger == "free" else 0,
            counts_per_ns=belt.speed_m_per_s * 1e-6 * belt.counts_per_mm,
            belt_start_ns=now_ns(),
            utc_stamps=s.clock == "utc",
            trigger_lag_ns=round(s.trigger_to_exposure_ms * 1e6),
            exposure_ns=round((s.exposure_us or 0) * 1e3),
            chunk_exposure=s.chunks,
            socket_buffer_bytes=round(s.socket_buffer_mib * BYTES_PER_MIB),
            resend=s.packet_resend,
            retention_ns=round(s.frame_retention_ms * 1e6),
            fifo_priority=FIFO_PRIORITY,
        )
        if s.part_sensor is not None:
            self._sensor = PartSensor(s.part_sensor, lambda: region.status.last_trigger_id, self._fired)
        if s.trigger == "software":
            threading.Thread(target=self._shooting, name="software trigger", daemon=True).start()

    def open(self, shown: int) -> None:
        """May take seconds. Raises CameraError saying what to mend."""
        if self._sensor is not None:
            self._sensor.start()
        self._place = self._place or find(self._settings)
        device = open_device(self._place)
        try:
            set_up(device, self._settings)
            self._joined().start(device)
            device.start()
        except CoreError as error:
            _shut(self._joined(), device)
            raise CameraError(f"{self._name}: {error}") from error
        except BaseException:
            _shut(self._joined(), device)
            raise
        self._place = replace(self._place, interface_ip=device.interface_ip, device_ip=device.device_ip)
        self._device = device

    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """Frames and triggers go their own way; this looks whether the camera is still there."""
        end_ns = now_ns() + timeout_ms * 1_000_000
        while now_ns() < end_ns:
            if self._at_end():
                return EndOfStream()
            self._look()
            if self._delivered():
                return Delivered()
            time.sleep(min(LOOK_S, timeout_ms / 1e3))
        return None

    def close(self) -> None:
        """Ends the stream at once; a camera that has gone then holds this up for seconds."""
        device, self._device = self._device, None
        if device is None:
            return
        capture = self._joined()
        with self._commands:
            _shut(capture, device)
        if capture.unmatched or capture.stale or capture.underruns:
            log.warning(
                "%s: %d frames of which nobody could say whose part they show, %d seen before, %d without a free slot",
                self._name,
                capture.unmatched,
                capture.stale,
                capture.underruns,
            )

    def set_exposure_us(self, value: float) -> None:
        """One register write; also where ``open`` begins again. Raises CameraError while the camera is away."""
        with self._commands:
            device = self._device
            if device is None:
                raise CameraError(f"{self._name}: not open")
            try:
                device.set_exposure_us(value)
            except CoreError as error:
                raise CameraError(f"{self._name}: exposure {value:g} µs: {error}") from error
        self._settings = self._settings.model_copy(update={"exposure_us": value})
        self._joined().set_exposure_ns(round(value * 1e3))

    @property
    def _name(self) -> str:
        return f"camera {self._settings.device or (self._place.name if self._place else 'aravis')}"

    def _look(self) -> None:
        if self._device is None:
            raise CameraError(f"{self._name}: not open")
        if self._joined().lost:
            raise CameraError(f"{self._name}: no frames any more")
        if not self._device.in_control:
            raise CameraError(f"{self._name}: control was lost")

    def _delivered(self) -> bool:
        frames = 0 if self._region is None else self._region.status.camera_frames
        before, self._frames = self._frames, frames
        return frames != before

    def _at_end(self) -> bool:
        """After the last part, once its frame has had its time."""
        if self._sensor is None or not self._sensor.ended.is_set():
            return False
        self._end_ns = self._end_ns or now_ns() + self._timeout_ns
        return now_ns() > self._end_ns

    def _fired(self, message: Message) -> None:
        self._joined().expect(message.trigger_id, message.encoder_count, message.stamp_ns)
        self._shoot.set()

    def _shooting(self) -> None:
        """Fires the camera for each part; a camera that has gone holds up only this thread."""
        while True:
            self._shoot.wait()
            self._shoot.clear()
            with self._commands:
                device = self._device
                if device is None:
                    continue
                try:
                    device.software_trigger()
                except CoreError as error:
                    log.info("%s: %s", self._name, error)

    def _joined(self) -> AravisCapture:
        if self._capture is None:
            raise CameraError(f"{self._name}: no frame ring to fill; join() comes before open()")
        return self._capture


def _shut(capture: AravisCapture, device: AravisDevice) -> None:
    capture.stop()
    try:
        device.stop()
    except CoreError as error:
        log.info("a camera that cannot be stopped: %s", error)
    device.close()
