"""Auto-exposure that cannot drift between parts: bounded steps within fixed limits, only while no part is in view.

The loop tells how bright the parts' frames are (``light_frames``, ``light_sum_milli``); the mean of a number of parts,
all since the last change, decides. A camera takes a new exposure time from its next exposure on: every frame has one.
"""

import logging
import threading
from collections.abc import Callable

from edge._core import LineStatus
from edge.camera.settings import AutoExposureSettings
from edge.errors import CameraError

log = logging.getLogger(__name__)

LOOK_S = 0.005
"""After a verdict the gap to the next part begins: so soon it is noticed."""


def next_us(settings: AutoExposureSettings, exposure_us: float, mean: float) -> float | None:
    """The exposure for a mean grey level, at most one step away and within the limits; None: it stays."""
    if abs(mean / settings.mean - 1) <= settings.tolerance:
        return None
    step = min(max(settings.mean / max(mean, 1.0), 1 - settings.step), 1 + settings.step)
    new = min(max(exposure_us * step, settings.lowest_us), settings.highest_us)
    return None if new == exposure_us else new


class ExposureKeeper:
    """Watches the light and sets the exposure, on a thread of its own."""

    def __init__(
        self,
        settings: AutoExposureSettings,
        status: LineStatus,
        exposure_us: float,
        put: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._status = status
        self._put = put
        self.exposure_us = exposure_us
        status.camera_exposure_ns = round(exposure_us * 1e3)
        self._decided = status.parts_decided
        self._begin()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="auto-exposure", daemon=True)
        self._told = ""

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    def stop(self) -> None:
        """The exposure stays as it is."""
        self._stop.set()

    def look(self) -> None:
        """Changes the exposure if it is due: enough parts seen, and the last one was decided just now."""
        status = self._status
        between = status.parts_decided == status.triggers_pushed
        just_now = status.parts_decided != self._decided
        self._decided = status.parts_decided
        frames = status.light_frames - self._frames
        if frames < self._settings.parts or not (between and just_now):
            return
        mean = (status.light_sum_milli - self._sum_milli) / 1e3 / frames
        new = next_us(self._settings, self.exposure_us, mean)
        if new is not None:
            self._change(new, mean)
        self._begin()

    def _change(self, new: float, mean: float) -> None:
        pushed, part = self._status.triggers_pushed, self._status.last_trigger_id
        try:
            self._put(new)
        except CameraError as error:
            if str(error) != self._told:  # the camera is away; the runner tells of that
                self._told = str(error)
                log.warning("auto-exposure: %s; it stays at %.1f µs", error, self.exposure_us)
            return
        came = "" if pushed == self._status.triggers_pushed else "; a part came meanwhile"
        log.info(
            "exposure %.1f → %.1f µs after part %d (mean grey level %.1f, %.1f wanted)%s",
            self.exposure_us,
            new,
            part,
            mean,
            self._settings.mean,
            came,
        )
        self.exposure_us = new
        self._status.camera_exposure_ns = round(new * 1e3)
        self._status.camera_exposure_changes += 1

    def _begin(self) -> None:
        self._frames = self._status.light_frames
        self._sum_milli = self._status.light_sum_milli

    def _keep(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.look()
