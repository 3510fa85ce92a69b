"""The same tests for every kind of camera: what the runner relies on."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

from edge._core import CoreError, FrameStatus, PixelFormat, load_aravis, now_ns
from edge.camera.base import CHANNELS, EndOfStream, Frame
from edge.camera.grabbing import alone
from edge.camera.kinds import KINDS, check, make_camera
from edge.camera.settings import CameraSettings
from edge.errors import CameraError, TwinError
from tools.twin.gige.program import GigeDevice
from tools.twin.parts import plan_parts
from tools.twin.world import World

PATIENCE_S = 20.0
SETTINGS = TypeAdapter(CameraSettings)


def missing(words: str) -> None:
    """Skips, but not in CI."""
    if os.environ.get("EDGE_PEERS") == "required":
        pytest.fail(words)
    pytest.skip(words)


def viky() -> str:
    spec = importlib.util.find_spec("genicam")
    if spec is None or importlib.util.find_spec("harvesters") is None:
        missing("no harvesters and genicam here (pip install 'edge-inspection[gentl]')")
    return str(Path(spec.origin).parent / "viky.cti")


def gstreamer() -> None:
    if shutil.which("gst-launch-1.0") is None:
        missing("no gst-launch-1.0 here (apt-get install gstreamer1.0-tools gstreamer1.0-plugins-good)")


def pictures(folder: Path) -> dict:
    (folder / "parts").mkdir(exist_ok=True)
    for i in range(6):
        cv2.imwrite(str(folder / "parts" / f"{i}.png"), np.full((48, 64, 3), 40 * i, np.uint8))
    return {"path": folder / "parts", "pixel_format": "bgr8"}


def film(folder: Path) -> dict:
    writer = cv2.VideoWriter(str(folder / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    assert writer.isOpened()
    for i in range(6):
        writer.write(np.full((48, 64, 3), 40 * i, np.uint8))
    writer.release()
    return {"source": str(folder / "v.avi")}


def producer(_: Path) -> dict:
    return {
        "producers": [viky()],
        "device": "1",
        "trigger": "free",
        "features": {"AcquisitionFrameRate": 100.0},
    }


def pipeline(_: Path) -> dict:
    gstreamer()
    return {"template": "test", "width": 62, "height": 46, "fps": 60}


def emulator(_: Path) -> dict:
    if importlib.util.find_spec("pypylon") is None:
        pytest.skip("no pypylon here (pip install 'edge-inspection[pylon]')")
    os.environ.setdefault("PYLON_CAMEMU", "2")
    return {
        "device": "0815-0001",
        "trigger": "free",
        "features": {"Width": 64, "Height": 48, "AcquisitionFrameRate": 100.0},
    }


@cache
def gige_device() -> GigeDevice:
    try:
        load_aravis()
        return GigeDevice()
    except (CoreError, TwinError) as error:
        missing(str(error))
        raise


@cache
def twin_device() -> "TwinDevice":
    return TwinDevice(Path(tempfile.mkdtemp(prefix="edge-twin-camera-")))


@pytest.fixture(scope="module", autouse=True)
def switched_off():
    """Devices are started once, when a case first wants them."""
    yield
    for device in (gige_device, twin_device):
        if device.cache_info().currsize:
            device().close()
            device.cache_clear()


def gige(_: Path) -> dict:
    gige_device()
    return {
        "device": "127.0.0.1",
        "trigger": "free",
        "frame_rate": 50,
        "region": {"width": 64, "height": 48},
        "max_frame_mib": 1,
    }


class TwinDevice:
    """The twin camera as a process; ten parts a second, for longer than these tests take."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.socket = folder / "camera.sock"
        world = World.create(folder / "world", plan_parts(3000, 1), profile="0.8")
        command = [sys.executable, "-m", "tools.twin.camera", "--world", str(folder / "world"), "--seed", "1"]
        command += ["--parts", "3000", "--socket", str(self.socket)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "ready\n"
        world.start(now_ns())

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)


def simulated(_: Path) -> dict:
    return {"socket": twin_device().socket}


@dataclass(frozen=True)
class Case:
    settings: Callable[[Path], dict]
    size: tuple[int, int]
    form: PixelFormat
    wrong: dict
    """Settings that nothing can be made of."""
    ends: bool = False
    """The settings above show six frames and end."""


CASES = {
    "replay": Case(pictures, (64, 48), PixelFormat.BGR8, {"path": "/nowhere"}, ends=True),
    "video": Case(film, (64, 48), PixelFormat.BGR8, {"source": "/nowhere.avi"}, ends=True),
    "gentl": Case(producer, (400, 400), PixelFormat.BGRA8, {"pixel_format": "Mono12p"}),
    "pylon": Case(emulator, (64, 48), PixelFormat.MONO8, {"pixel_format": "Mono12"}),
    "aravis": Case(gige, (64, 48), PixelFormat.MONO8, {"pixel_format": "BGRa8"}),
    "twin": Case(simulated, (640, 480), PixelFormat.BAYER_RG8, {"socket": "/nowhere.sock"}),
    "gstreamer": Case(pipeline, (62, 46), PixelFormat.BGR8, {"pipeline": "nosuchelement"}),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def settings(request, case, tmp_path):
    kind = next(name for name, known in CASES.items() if known is case)
    return lambda **values: SETTINGS.validate_python({"kind": kind, **case.settings(tmp_path), **values})


@pytest.fixture
def camera(settings):
    made = made_alone(settings())
    yield made
    made.close()


def made_alone(settings):
    return alone(make_camera(settings), settings)


class Slots:
    """Targets of a given size, and what was in the last one."""

    def __init__(self, size=1 << 20):
        self.size = size

    def __call__(self):
        self.last = np.full(self.size, 99, np.uint8)
        return self.last


def frames(camera, slots, count):
    """The next frames, within a generous time; an end is a failure."""
    found, limit_ns = [], now_ns() + int(PATIENCE_S * 1e9)
    while len(found) < count:
        assert now_ns() < limit_ns, f"{len(found)} of {count} frames came"
        outcome = camera.grab(slots, 50)
        assert not isinstance(outcome, EndOfStream)
        if isinstance(outcome, Frame):
            found.append(outcome)
    return found


def test_every_kind_with_a_source_of_its_own_is_here():
    # A recording has a test file of its own.
    assert set(KINDS) - set(CASES) <= {"recording"}


def test_what_check_accepts_can_be_opened_and_its_first_frame_is_right(case, settings, camera):
    check(settings())
    camera.open(0)
    slots = Slots()
    first = frames(camera, slots, 1)[0]
    assert (first.width, first.height, first.pixel_format) == (*case.size, case.form)
    assert first.status is FrameStatus.OK and first.stride >= first.width * CHANNELS[case.form]
    used = first.stride * first.height
    assert (slots.last[used:] == 99).all(), "bytes beyond the frame were written"


def test_ids_and_stamps_rise(camera):
    camera.open(0)
    found = frames(camera, Slots(), 5)
    ids = [frame.frame_id for frame in found]
    assert ids == [None] * 5 or all(b > a for a, b in pairwise(ids))
    stamps = [frame.exposure_end_ns for frame in found if frame.exposure_end_ns is not None]
    assert stamps == sorted(stamps)


def test_a_frame_larger_than_the_slot_has_its_status_and_the_next_ones_are_in_step(case, camera):
    camera.open(0)
    small = frames(camera, Slots(1000), 2)
    assert [frame.status for frame in small] == [FrameStatus.OVERSIZE] * 2
    assert (small[0].width, small[0].height) == case.size
    assert frames(camera, Slots(), 1)[0].status is FrameStatus.OK


def test_closed_twice_and_opened_again_it_shows_new_frames_only(case, camera):
    camera.open(0)
    frames(camera, Slots(), 2)
    camera.close()
    camera.close()
    again_ns = now_ns()
    camera.open(2)
    found = frames(camera, Slots(), 2)
    assert all(f.exposure_end_ns is None or f.exposure_end_ns >= again_ns for f in found)


def test_not_open_is_an_error_and_nothing_hangs(case, camera):
    if case.ends and case is CASES["replay"]:
        return  # a folder needs no opening
    with pytest.raises(CameraError, match="not open"):
        camera.grab(Slots(), 10)


def test_what_cannot_be_is_refused_with_a_text(case, settings):
    with pytest.raises(CameraError) as caught:
        camera = made_alone(settings(**case.wrong))
        try:
            camera.open(0)
            frames(camera, Slots(), 1)
        finally:
            camera.close()
    assert next(str(value) for value in case.wrong.values()) in str(caught.value)


def test_the_wait_is_bounded(camera):
    camera.open(0)
    done = threading.Event()

    def grab_often():
        for _ in range(3):
            camera.grab(Slots(), 1)
        done.set()

    threading.Thread(target=grab_often, daemon=True).start()
    assert done.wait(PATIENCE_S)


def test_the_end_of_a_finite_source(case, camera):
    if not case.ends:
        pytest.skip("has no end")
    camera.open(0)
    frames(camera, Slots(), 6)
    assert isinstance(camera.grab(Slots(), 50), EndOfStream)


def test_a_pipeline_that_dies_is_a_loss_and_says_why(tmp_path):
    gstreamer()
    ended = {"pipeline": "videotestsrc num-buffers=2", "width": 8, "height": 8, "kind": "gstreamer"}
    camera = make_camera(SETTINGS.validate_python(ended))
    camera.open(0)
    frames(camera, Slots(), 2)
    with pytest.raises(CameraError, match="the pipeline ended with 0"):
        frames(camera, Slots(), 1)
    camera.close()
    camera = make_camera(SETTINGS.validate_python({**ended, "ends": True}))
    camera.open(0)
    frames(camera, Slots(), 2)
    while (outcome := camera.grab(Slots(), 50)) is None:
        pass
    assert isinstance(outcome, EndOfStream)
    camera.close()


def test_a_torn_frame_of_pylon_is_incomplete(tmp_path):
    settings = {"kind": "pylon", **emulator(tmp_path)}
    settings["features"] |= {"ForceFailedBufferCount": 3, "ForceFailedBuffer": True}
    camera = make_camera(SETTINGS.validate_python(settings))
    camera.open(0)
    statuses = [frame.status for frame in frames(camera, Slots(), 6)]
    camera.close()
    assert FrameStatus.INCOMPLETE in statuses and statuses[-1] is FrameStatus.OK


def test_two_cameras_that_fit_are_told_apart():
    settings = SETTINGS.validate_python({"kind": "gentl", "producers": [viky()], "trigger": "free"})
    with pytest.raises(CameraError, match=r"3 cameras fit .*serial_number=2.*Set camera.device"):
        check(settings)
    with pytest.raises(CameraError, match="no camera fits nobody"):
        check(settings.model_copy(update={"device": "nobody"}))


def test_a_feature_that_is_not_there_is_named():
    settings = {
        "kind": "gentl",
        "producers": [viky()],
        "device": "1",
        "exposure_us": 100.0,
        "trigger": "free",
    }
    camera = make_camera(SETTINGS.validate_python(settings))
    with pytest.raises(CameraError, match="no feature ExposureTime"):
        camera.open(0)
    camera.close()
