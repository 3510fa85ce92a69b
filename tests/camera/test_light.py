"""The light controller against its twin on a pseudo-terminal, and what its absence does to a line."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from edge._core import FrameStatus
from edge.camera.light import Controller
from edge.camera.settings import LightSettings
from edge.errors import CameraError
from tools.twin.light import LightTwin

CHANNELS = [{"number": 1, "intensity": 80, "strobe_us": 150}, {"number": 3, "intensity": 255}]


class Twin:
    def __init__(self, link):
        self.link = link
        link.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tools.twin.light", "--link", str(link)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().startswith("/dev/")

    def pull(self):
        self.process.kill()
        self.process.wait()

    def said(self):
        """Every change so far, after the end of the process."""
        self.pull()
        return self.process.stdout.read().split()


@pytest.fixture
def twin(tmp_path):
    made = [Twin(tmp_path / "light")]
    yield made
    for one in made:
        one.pull()


def settings(twin, **values):
    return LightSettings(port=str(twin.link), channels=CHANNELS, **values)


def test_set_read_back_and_off(twin):
    controller = Controller(settings(twin[0]))
    controller.set_all()
    controller.verify()
    controller.off()
    with pytest.raises(CameraError, match="channel 1 has intensity 0, 80 was set"):
        controller.verify()
    controller.close()
    assert twin[0].said() == ["W1=150", "I1=80", "W3=0", "I3=255", "I1=0", "I3=0"]


def test_what_the_controller_refuses_is_told(twin):
    wrong = LightSettings(port=str(twin[0].link), channels=[{"number": 1, "intensity": 999}])
    controller = Controller(wrong)
    with pytest.raises(CameraError, match="answers 'ERR range' to 'I1=999'"):
        controller.set_all()
    controller.close()


def test_the_twin_knows_its_limits():
    light = LightTwin()
    assert [light.answer(text) for text in ("I1=255", "I1?", "I9=1", "x", "W1=10001")] == [
        "OK",
        "255",
        "ERR request",
        "ERR request",
        "ERR range",
    ]


def test_a_port_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CameraError, match=r"nowhere cannot be opened.*plugged in"):
        Controller(LightSettings(port=str(tmp_path / "nowhere"), channels=CHANNELS))


def test_without_its_light_a_line_is_not_ready_and_parts_are_rejected(line, twin, tmp_path, until):
    (tmp_path / "parts").mkdir()
    cv2.imwrite(str(tmp_path / "parts" / "0.png"), np.full((8, 8, 3), 90, np.uint8))
    light = {"port": str(twin[0].link), "channels": CHANNELS}
    line.start(
        kind="replay", path=tmp_path / "parts", pitch_mm=100, loop=True, wait_for_ready=False, light=light
    )
    until(lambda: line.status.camera_ready, "the light")
    twin[0].pull()
    until(lambda: not line.status.camera_ready, "the light to be missed")
    first = line.status.triggers_pushed + 2
    until(lambda: line.status.triggers_pushed > first, "parts without light")
    assert line.frame(first).status == FrameStatus.UNLIT
    twin.append(Twin(twin[0].link))
    until(lambda: line.status.camera_ready, "the light again")
    first = line.status.triggers_pushed + 2
    until(lambda: line.status.triggers_pushed > first, "parts with light")
    assert line.frame(first).status == FrameStatus.OK
    assert line.stop() == 0
    assert twin[1].said()[-2:] == ["I1=0", "I3=0"]


def test_each_channel_once():
    with pytest.raises(ValueError, match="each number once"):
        LightSettings(port="x", channels=[CHANNELS[0], CHANNELS[0]])
