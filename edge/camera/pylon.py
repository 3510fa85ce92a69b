"""Camera kind ``pylon``: Basler cameras through pypylon, and its emulator (PYLON_CAMEMU=1)."""

import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from edge._core import FrameStatus, now_ns
from edge.camera.base import Camera, Outcome, Target, oversize_text
from edge.camera.genicam_formats import into_slot, known
from edge.camera.settings import PylonSettings
from edge.errors import CameraError

log = logging.getLogger(__name__)

_SAME = {"BGR8Packed": "BGR8", "RGB8Packed": "RGB8", "BGRA8Packed": "BGRa8"}
"""Older names of the same formats."""


class PylonCamera(Camera):
    """A frame is copied once, from pylon's buffer into the slot."""

    def __init__(self, settings: PylonSettings) -> None:
        self._settings = settings
        self.free_running = settings.trigger == "free"
        self._camera: Any = None
        self._form = known("Mono8", "pylon")
        self._told_oversize = False

    @staticmethod
    def check(settings: PylonSettings) -> None:
        """Raises CameraError without pypylon, or when not exactly one camera fits."""
        _choose(_module(), settings)

    def open(self, shown: int) -> None:
        """Takes control of the camera, writes its features and starts it with new buffers."""
        pylon = _module()
        info = _choose(pylon, self._settings)
        try:
            self._camera = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateDevice(info))
            self._camera.Open()
            self._write_features(self._camera.GetNodeMap())
            self._camera.StartGrabbing(pylon.GrabStrategy_OneByOne)
        except CameraError:
            raise
        except Exception as error:
            raise CameraError(
                f"{self._name}: cannot be started: {_first_line(error)}; does another program hold it?"
            ) from error

    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """The next buffer; pylon bounds the wait."""
        if self._camera is None:
            raise CameraError(f"{self._name}: not open")
        pylon = _module()
        try:
            if self._camera.IsCameraDeviceRemoved():
                raise CameraError(f"{self._name}: has been unplugged")
            result = self._camera.RetrieveResult(timeout_ms, pylon.TimeoutHandling_Return)
        except CameraError:
            raise
        except Exception as error:
            raise CameraError(f"{self._name}: has gone: {_first_line(error)}") from error
        if not result.IsValid():
            return None
        stamp_ns = now_ns()
        try:
            return self._frame(result, target, stamp_ns)
        finally:
            result.Release()

    def close(self) -> None:
        """Gives the camera up; what fails on a dead one is left."""
        camera, self._camera = self._camera, None
        with suppress(Exception):
            if camera is not None:
                camera.StopGrabbing()
                camera.Close()

    @property
    def _name(self) -> str:
        return self._settings.device or "pylon camera"

    def _frame(self, result: Any, target: Target, stamp_ns: int) -> Outcome:
        pixels = target()
        width, height = int(result.Width), int(result.Height)
        data = np.frombuffer(result.GetBuffer() if result.GrabSucceeded() else b"", np.uint8)
        frame = into_slot(pixels, data, width, height, self._form)
        if frame.status is FrameStatus.OVERSIZE and not self._told_oversize:
            self._told_oversize = True
            log.warning("%s", oversize_text(f"{self._name}, every frame", frame, pixels.size))
        return replace(frame, frame_id=int(result.ID), exposure_end_ns=stamp_ns)

    def _write_features(self, nodes: Any) -> None:
        for name, value in self._settings.genicam_features().items():
            node = nodes.GetNode(name)
            if node is None:
                raise CameraError(f"{self._name}: has no feature {name}; remove it from the line file")
            try:
                node.FromString(str(int(value) if isinstance(value, bool) else value))
            except Exception as error:
                choices = getattr(node, "Symbolics", None)
                hint = f"; it has {', '.join(choices)}" if choices else ""
                raise CameraError(
                    f"{self._name}: feature {name} does not take {value!r}: {_first_line(error)}{hint}"
                ) from error
        name = str(nodes.GetNode("PixelFormat").ToString())
        self._form = known(_SAME.get(name, name), self._name)


def devices() -> list[dict[str, str]]:
    """Every camera that pylon sees. Raises CameraError without pypylon."""
    found = _module().TlFactory.GetInstance().EnumerateDevices()
    return [
        {
            "id_": d.GetFullName(),
            "serial_number": d.GetSerialNumber(),
            "user_defined_name": d.GetUserDefinedName(),
        }
        for d in found
    ]


def _module() -> Any:
    try:
        from pypylon import pylon
    except ImportError as error:
        raise CameraError(
            f"camera kind 'pylon' needs pypylon ({error}); install it: pip install 'edge-inspection[pylon]'"
        ) from error
    return pylon


def _choose(pylon: Any, settings: PylonSettings) -> Any:
    """The one camera that the settings mean. Raises CameraError: none, or several."""
    found = list(pylon.TlFactory.GetInstance().EnumerateDevices())
    names = [(d.GetFullName(), d.GetSerialNumber(), d.GetUserDefinedName(), d.GetModelName()) for d in found]
    fits = [d for d, own in zip(found, names, strict=True) if settings.device in (None, *own)]
    if len(fits) == 1:
        return fits[0]
    listed = "; ".join(f"serial_number={own[1]} user_defined_name={own[2] or '-'}" for own in names) or "none"
    problem = f"{len(fits)} cameras fit" if fits else "no camera fits"
    raise CameraError(
        f"camera.device: {problem} {settings.device or '(nothing set)'}; found: {listed}. Set camera.device to a "
        "serial number"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition(" : ")[0].partition("\n")[0]
