"""A GigE Vision camera on loopback: ours, with faults on demand, and the one that comes with Aravis."""

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge._core import CoreError, FrameStatus, Region, load_aravis, now_ns
from edge.camera.aravis import AravisCamera
from edge.camera.auto_exposure import ExposureKeeper
from edge.camera.base import Belt, EndOfStream
from edge.camera.commands import app
from edge.camera.link import Link, read_link, receive_limit
from edge.camera.settings import AravisSettings
from edge.camera.twin_wire import END, HEADER, HELLO, TRIGGER, Message
from edge.errors import CameraError, TwinError
from tools.twin.gige.program import PACKAGES, STAMPED, GigeDevice

PATIENCE_S = 20.0
SLOT_BYTES = 1 << 20
WIDTH, HEIGHT = 640, 480


def missing(what):
    words = f"GigE Vision on loopback: {what} (Debian: apt-get install {PACKAGES} aravis-tools)"
    if os.environ.get("EDGE_PEERS") == "required":
        pytest.fail(words)
    pytest.skip(words)


@pytest.fixture(scope="module", autouse=True)
def aravis():
    try:
        load_aravis()
    except CoreError as error:
        missing(str(error))


@pytest.fixture
def device():
    try:
        made = GigeDevice()
    except TwinError as error:
        if "apt-get" in str(error):
            missing(str(error))
        raise
    yield made
    made.close()


class Bench:
    """A camera on a region; frames are given back by whoever looks."""

    def __init__(self, folder, **settings):
        base = {"kind": "aravis", "device": "127.0.0.1", "trigger": "free", "frame_rate": 50}
        base |= {"region": {"width": WIDTH, "height": HEIGHT}, "max_frame_mib": 1, "frame_retention_ms": 10}
        base |= {"silence_limit_ms": 5000}  # a machine that stands still for a while is no lost camera
        self.settings = AravisSettings(**(base | settings))
        self.region = Region.create(str(folder / "region"), frame_slots=16, slot_bytes=SLOT_BYTES)
        self.status = self.region.status
        self.camera = AravisCamera(self.settings)
        self.camera.join(self.region, Belt(1.2, 10.0, 100_000_000))
        self.capture = self.camera._capture

    def open(self):
        self.camera.open(0)

    def until(self, done, what):
        end = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < end, f"waited {PATIENCE_S:g} s for {what}"
            self.camera.grab(lambda: np.empty(0, np.uint8), 10)
            self.region.discard_frames()

    def part(self):
        last = self.capture.last
        return last.trigger_id if last else None

    def frames(self, count):
        end = self.status.camera_frames + count
        self.until(lambda: self.status.camera_frames >= end, f"{count} frames")


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(name="first", **settings):
        folder = tmp_path / name
        folder.mkdir()
        made.append(Bench(folder, **settings))
        return made[-1]

    yield make
    for one in made:
        one.camera.close()


def test_the_driver_writes_straight_into_the_slots_that_the_loop_reads(device, bench):
    line = bench()
    line.open()
    line.frames(20)
    last = line.capture.last
    assert last.address == line.region.slot_address(last.slot)
    assert line.status.camera_copies == 0
    frame = line.region.copy_frame(last.trigger_id)
    assert (frame.width, frame.height, frame.frame_id) == (WIDTH, HEIGHT, last.frame_id)
    part, stamp_ns = np.frombuffer(frame.pixels[:16].tobytes(), np.int64)
    assert np.all(frame.pixels[STAMPED:] == 60 + part % 64)
    assert 0 < line.status.camera_delay_p50_ns < 50_000_000
    assert abs(now_ns() - frame.exposure_end_ns) < 10_000_000_000
    assert stamp_ns > 0


def test_frame_ids_go_on_after_65535_and_a_clock_that_jumps_is_told(device, bench):
    line = bench()
    line.open()
    line.frames(3)
    lost = line.status.camera_lost
    device.ask("frame 65530")
    line.frames(2)
    jump = line.status.camera_lost
    line.frames(15)
    assert line.capture.last.frame_id < 100
    assert line.status.camera_lost == jump >= lost
    assert line.status.camera_clock_jumps == 0
    device.ask("clock -5000000000")
    line.until(lambda: line.status.camera_clock_jumps, "the jump to be told")
    line.frames(5)
    assert line.status.camera_clock_jumps == 1


def receive_buffers():
    """Bytes, of the UDP sockets of this process."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                if one.type == socket.SOCK_DGRAM:
                    found.append(one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
        except OSError:
            continue  # not a socket, or gone
    return found


def test_the_receive_buffer_is_there_before_the_first_frame(device, bench):
    line = bench(trigger="hardware")
    line.open()
    wanted = min(receive_limit(), 4 << 20)
    assert max(receive_buffers()) >= wanted


def test_incomplete_frames_are_flagged_and_every_id_has_its_part(device, bench):
    line = bench(packet_size=1500)
    line.open()
    device.ask("loss 4")  # a frame has 210 packets
    line.until(lambda: line.status.camera_incomplete >= 10, "incomplete frames")
    device.ask("loss 0")
    assert line.status.camera_lost_unnoticed == 0
    assert line.status.triggers_pushed == line.status.camera_frames + line.status.camera_lost
    flagged = [
        frame.status
        for i in range(1, line.status.triggers_pushed + 1)
        if (frame := line.region.copy_frame(i)) is not None
    ]
    assert FrameStatus.OK in flagged


def test_a_camera_that_is_pulled_and_comes_back_delivers_again(device, bench):
    line = bench(silence_limit_ms=400)
    line.open()
    line.frames(5)
    device.ask("unplug 700")  # back now, but its memory is gone: nobody controls it any more
    with pytest.raises(CameraError, match="no frames any more"):
        line.frames(1000)
    line.camera.close()
    frames = line.status.camera_frames
    line.open()
    line.frames(5)
    assert line.status.camera_frames > frames
    assert line.capture.stale == 0


def test_a_program_that_controls_the_camera_is_told_of(device, bench, tmp_path):
    first = bench()
    first.open()
    first.frames(2)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(CameraError, match=r"is in use.*3 s"):
        Bench(other).open()


BAD = {
    "format": ({"pixel_format": "BGRa8"}, "the camera has .*Mono8"),
    "outside": ({"region": {"width": 9000, "height": 480}}, "takes 1 to 2048.*set it to"),
    "offset": (
        {"region": {"x": 5000, "width": 640, "height": 480}},
        "region.x 5000: at this size the camera takes 0 to",
    ),
    "slot": ({"region": {"width": 2000, "height": 2000}}, "Raise camera.max_frame_mib to 3.9"),
    "source": ({"trigger": "hardware", "trigger_source": "Line7"}, "the camera has Line0, Software"),
    "exposure": ({"exposure_us": 1e9}, "camera takes"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_the_camera_cannot_do_is_refused_with_what_it_can(device, bench, name):
    settings, words = BAD[name]
    with pytest.raises(CameraError, match=words):
        bench(**settings).open()


def test_a_camera_that_is_not_there_names_those_that_are(device, bench):
    with pytest.raises(CameraError, match=r"no camera called 'X77'.*EDGE-TWIN"):
        bench(device="X77").open()


def test_an_address_where_nobody_is_is_told_before_the_line_runs(device):
    AravisCamera.check(AravisSettings(kind="aravis", device="127.0.0.1"))
    with pytest.raises(CameraError, match=r"127\.0\.0\.9: cannot be opened.*Look at power.*edge camera list"):
        AravisCamera.check(AravisSettings(kind="aravis", device="127.0.0.9"))


class Sensor:
    """The part sensor's end of the socket."""

    def __init__(self, path):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(PATIENCE_S)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self.id = 0

    def accept(self):
        self._line, _ = self._listener.accept()
        assert Message.unpack(self._line.recv(HEADER.size)).kind == HELLO

    def fire(self, device):
        self.id += 1
        stamp_ns = now_ns()
        message = Message(TRIGGER, trigger_id=self.id, encoder_count=7 * self.id, stamp_ns=stamp_ns)
        self._line.sendall(message.pack())
        return device is not None and device.ask(f"show -1 {self.id}")

    def end(self):
        self._line.sendall(Message(END).pack())

    def close(self):
        self._line.close()
        self._listener.close()


def test_a_part_sensor_s_frames_are_those_of_its_parts_or_nobody_s(device, bench, tmp_path):
    path = tmp_path / "sensor"
    sensor = Sensor(path)
    line = bench(trigger="hardware", part_sensor=path, lost_after=50)
    line.open()
    sensor.accept()
    triggers = line.region.trigger_reader()
    while line.part() is None:  # until the device is armed parts are lost, one by one
        lost = line.status.camera_lost
        sensor.fire(device)
        line.until(lambda n=lost: line.part() == sensor.id or line.status.camera_lost > n, "the first frame")
    first, unmatched = sensor.id, line.capture.unmatched
    frames, lost = line.status.camera_frames, line.status.camera_lost
    unseen, doubtful = {7, 8, 14}, {9, 15}  # by the camera; of the frame after, ids and time disagree
    for part in range(1, 21):
        seen = part not in unseen
        assert sensor.fire(device if seen else None) == (seen and "ok")
        if part in unseen | doubtful:
            line.until(lambda n=line.status.camera_lost: line.status.camera_lost > n, "the loss")
        else:
            line.until(lambda: line.part() == sensor.id, "the frame of this part")
    device.ask("show -1 99")  # nobody passed: a frame of nobody, and the next part has its own
    line.until(lambda: line.capture.unmatched == unmatched + len(doubtful) + 1, "the frame of nobody")
    sensor.fire(device)
    line.until(lambda: line.part() == sensor.id, "the frame after it")
    for part in range(1, first + 22):
        assert triggers.read()[:2] == (part, 7 * part)
    assert line.status.camera_frames == frames + 19
    assert line.capture.unmatched == line.status.camera_unmatched == unmatched + len(doubtful) + 1
    assert line.status.camera_lost == lost + len(unseen | doubtful)
    assert line.status.camera_lost_unnoticed == 0
    sensor.end()
    while not isinstance(line.camera.grab(None, 50), EndOfStream):
        pass
    sensor.close()


def test_software_triggers_fire_the_camera_for_each_part(device, bench, tmp_path):
    path = tmp_path / "sensor"
    sensor = Sensor(path)
    line = bench(trigger="software", part_sensor=path, lost_after=50)
    line.open()
    sensor.accept()
    sensor.fire(None)
    line.until(lambda: line.part() == 1 or line.status.camera_lost == 1, "the first part's frame or its loss")
    lost = line.status.camera_lost  # the device may not have been armed
    for part in range(2, 12):
        sensor.fire(None)
        line.until(lambda n=part: line.part() == n, "the frame of this part")
    assert line.status.camera_lost == lost and line.status.camera_lost_unnoticed == 0
    sensor.close()


def test_auto_exposure_brings_a_real_device_to_the_wanted_level_and_keeps_it_when_opened_again(device, bench):
    auto = {"mean": 90, "lowest_us": 500, "highest_us": 2000, "parts": 3}
    line = bench(exposure_us=1000.0, auto_exposure=auto)
    line.open()
    device.ask("light 120")
    keeper = ExposureKeeper(line.settings.auto_exposure, line.status, 1000.0, line.camera.set_exposure_us)

    def level():
        line.frames(1)
        frame = line.region.copy_frame(line.part())
        mean = float(frame.pixels[STAMPED:].mean())
        line.status.light_sum_milli += round(mean * 1000)  # as the loop does
        line.status.light_frames += 1
        line.status.parts_decided = line.status.triggers_pushed
        keeper.look()
        return mean

    line.until(lambda: abs(level() - 90) <= 9, "the wanted level")
    assert keeper.exposure_us == pytest.approx(750, rel=0.15)
    reached = line.camera._device.exposure_us()
    assert reached == pytest.approx(keeper.exposure_us, abs=1)
    line.camera.close()
    with pytest.raises(CameraError, match="not open"):
        line.camera.set_exposure_us(800)
    line.open()
    assert line.camera._device.exposure_us() == pytest.approx(reached, abs=1)


def test_each_frame_s_own_exposure_is_read_from_its_chunk(device, bench):
    line = bench(exposure_us=1000.0, chunks=True)
    line.open()
    device.ask("exposed 700")
    line.until(
        lambda: line.capture.last is not None and line.capture.last.exposure_ns == 700_000, "its chunk"
    )
    line.frames(5)
    last = line.capture.last
    assert (last.status, last.exposure_ns, line.status.camera_incomplete) == (FrameStatus.OK, 700_000, 0)
    assert line.status.camera_copies == 0
    frame = line.region.copy_frame(last.trigger_id)
    part = int(np.frombuffer(frame.pixels[:8].tobytes(), np.int64)[0])
    assert frame.pixels.size == WIDTH * HEIGHT and np.all(frame.pixels[STAMPED:] == 60 + part % 64)
    line.camera.close()


LINE = """
name: t
camera: {kind: aravis, device: 127.0.0.1, trigger: free, frame_rate: 50, clock: utc, region: {width: 640, height: 480}}
engines: {gate: "shipped:gate"}
routing: [{up_to_m_per_s: 3.0, gate_good: 0.96, gate_defect: 0.9, classifier_good: 0.95}]
plc: {kind: twin}
"""


def test_the_commands_that_look_at_a_camera_work_without_a_line(device, tmp_path):
    def call(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.stdout

    line = tmp_path / "line.yaml"
    line.write_text(LINE)
    assert "EDGE-TWIN" in call("list")
    found = json.loads(call("tune", line, "--frames", 30, "--json"))["delivery"]
    assert (found["frames"], found["lost"], found["incomplete"]) == (30, 0, 0)
    assert 0 < found["device_to_host_p50_ms"] <= found["device_to_host_p99_ms"] < 1000
    assert found["period_p50_ms"] == pytest.approx(20, abs=5)
    assert "640x480 MONO8" in call("snap", line, "--out", tmp_path / "one.png")


def test_a_device_of_another_make(bench):
    program = shutil.which("arv-fake-gv-camera-0.8")
    if program is None:
        missing("arv-fake-gv-camera-0.8")
    process = subprocess.Popen([program, "-i", "127.0.0.1", "-s", "OTHER"])
    try:
        line = bench(device="127.0.0.1")
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                line.open()
                break
            except CameraError:
                assert time.monotonic() < end
        line.frames(30)
        assert line.status.camera_lost_unnoticed == 0
        assert line.status.camera_copies == 0
        line.camera.close()
        with pytest.raises(CameraError, match=r"no chunk ExposureTime \(it has: none\)"):
            bench(device="127.0.0.1", chunks=True, name="second").open()
    finally:
        process.terminate()
        process.wait()


def test_packets_larger_than_the_link_takes_and_a_slow_link_are_refused(tmp_path):
    folder = tmp_path / "eth7"
    folder.mkdir()
    (folder / "mtu").write_text("1500\n")
    (folder / "speed").write_text("100\n")
    link = read_link(folder)
    with pytest.raises(CameraError, match=r"packet_size 8000 on eth7, whose MTU is 1500"):
        link.check(8000, 1, 60)
    with pytest.raises(CameraError, match=r"runs at 100 Mbit/s.*takes 184 ms"):
        link.check(1500, 1920 * 1200, 60)
    link.check(1500, 640 * 480, 60)
    Link("lo", 65536, None).check(8000, 1920 * 1200, 60)


def test_two_cameras_of_one_name_are_listed(monkeypatch):
    from edge.camera import aravis_setup

    class Found:
        id, address, vendor, model, serial, protocol = "V-1", "10.0.0.2", "V", "M", "1", "GigEVision"

    class Twins:
        @staticmethod
        def list():
            return [Found(), Found()]

    monkeypatch.setattr(aravis_setup, "AravisDevice", Twins)
    with pytest.raises(CameraError, match=r"two cameras called 'M'.*10\.0\.0\.2.*10\.0\.0\.2"):
        aravis_setup.find(AravisSettings(kind="aravis", device="M"))


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="nobody says when to fire"):
        AravisSettings(kind="aravis", trigger="software")
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        AravisSettings(kind="aravis", region={"width": 0, "height": 480})
    with pytest.raises(CoreError, match=r"cannot be loaded.*apt-get install libaravis-0\.8-0"):
        load_aravis("libaravis-0.7.so.9")
    assert json.loads(AravisSettings(kind="aravis").model_dump_json())["packet_size"] == 8000
