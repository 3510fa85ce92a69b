"""Camera kind ``gentl``: any vendor's GenTL producer (.cti) through harvesters."""

import logging
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge._core import FrameStatus, now_ns
from edge.camera.base import Camera, Outcome, Target, oversize_text
from edge.camera.genicam_formats import into_slot, known
from edge.camera.settings import GentlSettings
from edge.errors import CameraError

log = logging.getLogger(__name__)

PATH_VARIABLE = "GENICAM_GENTL64_PATH"
"""Where the installers of producers say where they are (GenTL standard)."""
_NAMES = ("id_", "serial_number", "user_defined_name", "model")


class GentlCamera(Camera):
    """A frame is copied once, from the producer's buffer into the slot."""

    def __init__(self, settings: GentlSettings) -> None:
        self._settings = settings
        self.free_running = settings.trigger == "free"
        self._harvester: Any = None
        self._acquirer: Any = None
        self._told_oversize = False

    @staticmethod
    def check(settings: GentlSettings) -> None:
        """Raises CameraError when there is no producer, or not exactly one camera that fits."""
        harvester = _harvester(settings)
        try:
            _choose(harvester, settings)
        finally:
            harvester.reset()

    def open(self, shown: int) -> None:
        """Takes control of the camera, writes its features and starts it with new buffers."""
        self._harvester = _harvester(self._settings)
        index = _choose(self._harvester, self._settings)
        try:
            self._acquirer = self._harvester.create(index)
            self._write_features(self._acquirer.remote_device.node_map)
            self._acquirer.start()
        except CameraError:
            raise
        except Exception as error:
            raise CameraError(
                f"{self._name}: cannot be started: {error}; does another program hold it? Control is free about 3 s "
                "after its end"
            ) from error

    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """The next buffer; the producer bounds the wait."""
        if self._acquirer is None:
            raise CameraError(f"{self._name}: not open")
        try:
            buffer = self._acquirer.try_fetch(timeout=timeout_ms / 1e3)
        except Exception as error:
            raise CameraError(f"{self._name}: has gone: {error}") from error
        if buffer is None:
            return None
        stamp_ns = now_ns()
        try:
            return self._frame(buffer, target, stamp_ns)
        finally:
            buffer.queue()

    def close(self) -> None:
        """Stops the camera, gives up control and unloads the producer; what fails on a dead camera is left."""
        acquirer, self._acquirer = self._acquirer, None
        harvester, self._harvester = self._harvester, None
        with suppress(Exception):
            if acquirer is not None:
                acquirer.stop()
                acquirer.destroy()
        with suppress(Exception):
            if harvester is not None:
                harvester.reset()

    @property
    def _name(self) -> str:
        return self._settings.device or "GenTL camera"

    def _frame(self, buffer: Any, target: Target, stamp_ns: int) -> Outcome:
        component = buffer.payload.components[0]
        form = known(component.data_format, self._name)
        pixels = target()
        frame = into_slot(
            pixels, np.asarray(component.data).reshape(-1), component.width, component.height, form
        )
        if frame.status is FrameStatus.OVERSIZE and not self._told_oversize:
            self._told_oversize = True
            log.warning("%s", oversize_text(f"{self._name}, every frame", frame, pixels.size))
        status = frame.status if buffer.is_complete() else FrameStatus.INCOMPLETE
        return replace(frame, frame_id=int(buffer.module.frame_id), exposure_end_ns=stamp_ns, status=status)

    def _write_features(self, nodes: Any) -> None:
        wanted = self._settings.genicam_features()
        for name, value in wanted.items():
            node = getattr(nodes, name, None)
            if node is None:
                raise CameraError(
                    f"{self._name}: has no feature {name}; remove it from the line file (edge camera show lists them)"
                )
            try:
                node.value = value
            except Exception as error:
                choices = getattr(node, "symbolics", ())
                hint = f"; it has {', '.join(choices)}" if choices else ""
                raise CameraError(
                    f"{self._name}: feature {name} does not take {value!r}: {error}{hint}"
                ) from error
        known(nodes.PixelFormat.value, self._name)


def producers(settings: GentlSettings) -> list[Path]:
    """The .cti files of the settings, else those on the path of the GenTL standard."""
    if settings.producers:
        return list(settings.producers)
    folders = [Path(text) for text in os.environ.get(PATH_VARIABLE, "").split(":") if text]
    return sorted(path for folder in folders for path in folder.glob("*.cti"))


def devices(settings: GentlSettings) -> list[dict[str, str]]:
    """Every camera that the producers see, by its names. Raises CameraError without a producer."""
    harvester = _harvester(settings)
    try:
        return [_names(info) for info in harvester.device_info_list]
    finally:
        harvester.reset()


def _harvester(settings: GentlSettings) -> Any:
    try:
        from harvesters.core import Harvester
    except ImportError as error:
        raise CameraError(
            f"camera kind 'gentl' needs harvesters ({error}); install it: pip install 'edge-inspection[gentl]'"
        ) from error
    found = producers(settings)
    if not found:
        raise CameraError(
            f"camera.producers: no GenTL producer; name the vendor's .cti file, or set {PATH_VARIABLE}"
        )
    for path in found:
        if not path.is_file():
            raise CameraError(f"{path}: there is no such GenTL producer; expected the vendor's .cti file")
    harvester = Harvester()
    for path in found:
        try:
            harvester.add_file(str(path))
        except Exception as error:
            raise CameraError(f"{path}: cannot be loaded as a GenTL producer: {error}") from error
    harvester.update()
    return harvester


def _names(info: Any) -> dict[str, str]:
    names = {}
    for key in _NAMES:
        with suppress(Exception):  # a producer need not know all of them
            names[key] = str(getattr(info, key))
    return names


def _choose(harvester: Any, settings: GentlSettings) -> int:
    """The index of the one camera that the settings mean. Raises CameraError: none, or several."""
    found = [_names(info) for info in harvester.device_info_list]
    fits = [i for i, names in enumerate(found) if settings.device in (None, *names.values())]
    if len(fits) == 1:
        return fits[0]
    listed = (
        "; ".join(" ".join(f"{k.rstrip('_')}={v}" for k, v in names.items()) for names in found) or "none"
    )
    problem = f"{len(fits)} cameras fit" if fits else "no camera fits"
    raise CameraError(
        f"camera.device: {problem} {settings.device or '(nothing set)'}; found: {listed}. Set camera.device to an "
        "id or serial number that only one of them has"
    )
