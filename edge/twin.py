"""Starts the twin (simulated camera, belt and PLC) beside a line, as a process, and reads its report."""

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.camera.settings import AravisSettings, TwinSettings
from edge.config import LineConfig
from edge.errors import TwinError
from edge.service.processes import Child, ProcessGroup

_START_LIMIT_S = 60.0


@dataclass(frozen=True)
class TwinRequest:
    """What travels on the twin's belt."""

    parts: int = 500
    seed: int = 1
    speed: str | None = None
    """Metres per second, or a profile such as 0:1.2,10:0.8; None: the line file's speed."""
    defect_share: float | None = None
    changeovers: str = ""
    """seconds:number,…: recipes that the PLC asks for; answered in changeovers.json beside the world."""
    camera_faults: str = ""
    """JSON of ``tools.twin.camera_faults.CameraFaults``: what the camera does wrong, and at which parts."""
    gige: bool = False
    """The camera is a GigE Vision device on loopback, for a line whose camera kind is aravis."""


class TwinProcess:
    """The running twin."""

    def __init__(self, child: Child, folder: Path, port: int, has_camera: bool) -> None:
        self._child = child
        self._folder = folder
        self.port = port
        self.has_camera = has_camera
        self._failed = False

    @classmethod
    def start(
        cls, folder: Path, config: LineConfig, request: TwinRequest, group: ProcessGroup
    ) -> "TwinProcess":
        """Starts it and waits until it listens. Raises TwinError with its last words when it does not."""
        has_camera = request.gige or isinstance(config.camera, TwinSettings)
        port = config.plc.port if "port" in config.plc.model_fields_set else _free_port()
        for name in ("world", "twin.json", "camera.sock", "twin.log"):
            (folder / name).unlink(missing_ok=True)
        command = ["tools.twin", "line" if has_camera else "plc"]
        if has_camera:
            speed = request.speed or f"{config.conveyor.m_per_s:g}"
            command += [
                "--world",
                str(folder / "world"),
                "--parts",
                str(request.parts),
                "--seed",
                str(request.seed),
            ]
            command += [
                "--speed",
                speed,
                "--plc-port",
                str(port),
                "--camera-socket",
                str(folder / "camera.sock"),
            ]
            command += ["--report", str(folder / "twin.json"), "--mode", config.plc.mode]
            command += [
                "--camera",
                "gige" if request.gige else "camera",
                "--changeovers",
                request.changeovers,
            ]
            if request.defect_share is not None:
                command += ["--defect-share", f"{request.defect_share:g}"]
            if request.camera_faults:
                command += ["--camera-faults", request.camera_faults]
        else:
            command += ["--port", str(port), "--mode", config.plc.mode]
        child = Child("twin", command, folder / "twin.log", restarts_allowed=not has_camera)
        group.start(child)
        twin = cls(child, folder, port, has_camera)
        twin._wait_ready()
        return twin

    def _wait_ready(self) -> None:
        end = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < end:
            self.check()
            if "ready port=" in self._child.log.read_text(encoding="utf-8", errors="replace"):
                return
            time.sleep(0.02)
        raise TwinError(f"the twin did not get ready within {_START_LIMIT_S:.0f} s; see {self._child.log}")

    def check(self) -> None:
        """Raises TwinError when the twin has ended by itself: there is no line without it."""
        code = self._child.exit_code
        if code is not None and self.has_camera:
            raise TwinError(f"the twin ended with {code}: {self._child.last_words()}")
        if code not in (None, 0) and not self._failed and self._child.restarts == 0:
            words = self._child.last_words()
            if "in use" in words:
                self._failed = True
                raise TwinError(words)

    def connected(self, config: LineConfig) -> LineConfig:
        """The line's configuration with the twin's addresses filled in."""
        plc, camera = config.plc, config.camera
        if plc.kind == "twin":
            plc = plc.model_copy(update={"host": "127.0.0.1", "port": self.port})
        if isinstance(camera, TwinSettings):
            camera = camera.model_copy(update={"socket": self._folder / "camera.sock"})
        if isinstance(camera, AravisSettings) and self.has_camera:
            camera = camera.model_copy(update={"part_sensor": self._folder / "camera.sock"})
        return config.model_copy(update={"plc": plc, "camera": camera})

    def finish(self) -> None:
        """Ends it; its report is then complete."""
        self._child.end(5.0)

    def changeovers(self) -> list[dict[str, int]]:
        """Each as number, asked_ns, active_ns (0: never); complete after ``finish``."""
        found: list[dict[str, int]] = json.loads((self._folder / "changeovers.json").read_bytes())
        return found

    def report(self) -> dict[str, Any] | None:
        """The report file of the twin: truth and bins per part; None without its camera."""
        try:
            data: dict[str, Any] = json.loads((self._folder / "twin.json").read_text(encoding="utf-8"))
        except OSError:
            return None
        return data


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
