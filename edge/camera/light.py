"""A light or strobe controller on a serial line: set, read back, watched, and off at the end."""

import logging
import re
import threading
from dataclasses import dataclass

import serial

from edge._core import now_ns
from edge.backoff import BackOff
from edge.camera.settings import LightSettings
from edge.errors import CameraError
from edge.plc.serial_port import LOST

log = logging.getLogger(__name__)

ANSWER_S = 0.3
LOOK_S = 1.0
OFF_S = 2.0


@dataclass(frozen=True)
class Protocol:
    """What a controller is told and answers, as text. ``value``: the pattern of an answer with a number."""

    set_intensity: str
    set_width: str
    ask_intensity: str
    ask_width: str
    done: str
    value: str
    ending: bytes


PROTOCOLS = {
    "plain": Protocol(
        set_intensity="I{channel}={value}",
        set_width="W{channel}={value}",
        ask_intensity="I{channel}?",
        ask_width="W{channel}?",
        done=r"OK",
        value=r"(\d+)",
        ending=b"\r\n",
    ),
}
"""A new make of controller is a row here."""


class Controller:
    """The controller, open. Every method raises CameraError with what was said, and OSError when the line has gone."""

    def __init__(self, settings: LightSettings) -> None:
        self._settings = settings
        self._protocol = PROTOCOLS[settings.protocol]
        try:
            self._port = serial.Serial(settings.port, settings.baud, timeout=ANSWER_S, exclusive=True)
        except (OSError, ValueError) as error:
            raise CameraError(
                f"camera.light.port: {settings.port} cannot be opened: {error}; is the controller plugged in, and this "
                "user in the group dialout?"
            ) from error

    def set_all(self) -> None:
        """Every channel as the settings want it, and read back."""
        for channel in self._settings.channels:
            self._say(self._protocol.set_width, channel.number, channel.strobe_us)
            self._say(self._protocol.set_intensity, channel.number, channel.intensity)
        self.verify()

    def verify(self) -> None:
        """What the controller has is what it was told: it may have been switched off and on."""
        for channel in self._settings.channels:
            for ask, wanted, what in (
                (self._protocol.ask_width, channel.strobe_us, "strobe_us"),
                (self._protocol.ask_intensity, channel.intensity, "intensity"),
            ):
                found = int(self._ask(ask.format(channel=channel.number), self._protocol.value)[1])
                if found != wanted:
                    raise CameraError(
                        f"{self._settings.port}: channel {channel.number} has {what} {found}, {wanted} was set"
                    )

    def off(self) -> None:
        """Every channel dark."""
        for channel in self._settings.channels:
            self._say(self._protocol.set_intensity, channel.number, 0)

    def close(self) -> None:
        """Gives the serial line back."""
        self._port.close()

    def _say(self, text: str, channel: int, value: int) -> None:
        self._ask(text.format(channel=channel, value=value), self._protocol.done)

    def _ask(self, text: str, pattern: str) -> re.Match[str]:
        self._port.reset_input_buffer()
        self._port.write(text.encode("ascii") + self._protocol.ending)
        answer = self._port.read_until(self._protocol.ending)
        said = answer.decode("ascii", errors="replace").strip()
        found = re.fullmatch(pattern, said)
        if found is None or not answer.endswith(self._protocol.ending):
            raise CameraError(
                f"{self._settings.port}: the light controller answers {said!r} to {text!r}; expected {pattern}. Check "
                "camera.light.protocol and baud"
            )
        return found


class LightKeeper:
    """Keeps the light as it is wanted, on a thread of its own; while it cannot, the line is not ready."""

    def __init__(self, settings: LightSettings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="light", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether the controller had the wanted values when it was asked last."""
        return self._ready.is_set()

    def start(self) -> None:
        """Begins to set and watch."""
        self._thread.start()

    def stop(self) -> None:
        """Switches the light off, for as long as that may take and no longer."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(OFF_S)

    def _keep(self) -> None:
        back_off, told = BackOff(1000.0), False
        while not self._stop.is_set():
            try:
                self._watch(back_off)
            except (CameraError, *LOST) as error:
                if self._ready.is_set() or not told:
                    log.warning("%s; the line is not ready until the light answers", error)
                told = True
            self._ready.clear()
            back_off.lost(now_ns())
            self._stop.wait(max(0, back_off.due_ns - now_ns()) / 1e9)

    def _watch(self, back_off: BackOff) -> None:
        controller = Controller(self._settings)
        try:
            controller.set_all()
            back_off.reset()
            self._ready.set()
            while not self._stop.wait(LOOK_S):
                controller.verify()
            controller.off()
        finally:
            controller.close()
