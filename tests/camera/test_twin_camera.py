import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from edge._core import FrameStatus, PixelFormat, now_ns, sleep_until_ns
from edge.camera.twin_wire import END, FRAME, HEADER, HELLO, TRIGGER, Message
from tools.twin.camera import Device
from tools.twin.camera_faults import CameraFaults
from tools.twin.parts import plan_parts
from tools.twin.render import CameraModel, render
from tools.twin.render_pool import FrameQueue
from tools.twin.world import World

SEED, PARTS = 11, 24


class Twin:
    def __init__(self, folder, faults, speed="2.0"):
        self.socket = folder / "camera.sock"
        self.specs = plan_parts(PARTS, SEED)
        self.world = World.create(folder / "world", self.specs, profile=speed)
        command = [sys.executable, "-m", "tools.twin.camera", "--world", str(folder / "world")]
        command += ["--socket", str(self.socket), "--seed", str(SEED), "--parts", str(PARTS)]
        command += ["--faults", json.dumps(faults)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def start_belt(self):
        self.world.start(now_ns())


@pytest.fixture
def twin(request, tmp_path):
    made = Twin(tmp_path, *getattr(request, "param", ({},)))
    yield made
    made.process.terminate()
    made.process.wait()


def run(line, twin, until):
    line.start(kind="twin", socket=twin.socket)
    until(lambda: line.status.camera_ready, "the camera")
    twin.start_belt()
    line.finish()


def test_triggers_follow_the_belt_and_frames_are_the_rendered_ones(line, twin, until):
    run(line, twin, until)
    assert sorted(line.triggers) == list(range(1, PARTS + 1))
    for spec in twin.specs:
        encoder_count, stamp_ns = line.triggers[spec.index + 1]
        assert stamp_ns >= twin.world.time_at_ns(spec.position_mm)
        assert stamp_ns == twin.world.parts["trigger_ns"][spec.index]
        assert encoder_count == twin.world.encoder_count(stamp_ns)
        frame = line.frame(spec.index + 1)
        assert (frame.status, frame.pixel_format) == (FrameStatus.OK, PixelFormat.BAYER_RG8)
        assert frame.received_ns > frame.exposure_end_ns == stamp_ns + 200_000
        assert frame.encoder_count == encoder_count
    for index in (0, PARTS - 1):
        expected = render(twin.specs[index], CameraModel()).pixels
        assert np.array_equal(line.frame(index + 1).pixels.reshape(expected.shape), expected)
    assert line.stop() == 0
    assert twin.process.wait(20) == 0


FAULTS = {
    "drop": [3],
    "short": [5],
    "close": [9],
    "delay_ms": {"12": 120},
    "exposure_ev": {"15": -9, "16": 6},
}


@pytest.mark.parametrize("twin", [(FAULTS,)], indirect=True)
def test_faults_cost_frames_and_never_a_trigger(line, twin, until):
    run(line, twin, until)
    assert sorted(line.triggers) == list(range(1, PARTS + 1))
    without = [i for i in range(1, PARTS + 1) if line.region.copy_frame(i) is None]
    assert without == [3, 9]
    assert line.frame(5).status == FrameStatus.INCOMPLETE
    assert line.frame(12).received_ns - line.triggers[12][1] >= 120_000_000
    assert line.frame(15).pixels.mean() < 10
    assert line.frame(16).pixels.mean() > 230
    assert "has hung up; reconnecting" in line.log


# The belt is slow enough for a Python process to start on a busy machine before its last part.
@pytest.mark.parametrize("twin", [({}, "0.5")], indirect=True)
def test_a_killed_camera_process_comes_back_without_losing_a_part(line, twin, until):
    line.start(kind="twin", socket=twin.socket)
    until(lambda: line.status.camera_ready, "the camera")
    twin.start_belt()
    until(lambda: line.status.triggers_pushed >= 3, "the first parts")
    line.process.kill()
    line.process.wait()
    line.status.camera_ready = 0
    line.start(kind="twin", socket=twin.socket)
    line.finish()
    assert sorted(line.triggers) == list(range(1, PARTS + 1))


def test_a_device_hears_of_the_last_part_not_of_their_number(line, tmp_path, until):
    for part_id in (1, 2, 9):  # six went by while the camera was away
        line.region.push_trigger(part_id, 0, now_ns())
    device = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with device:
        device.bind(str(tmp_path / "camera.sock"))
        device.listen()
        line.start(kind="twin", socket=tmp_path / "camera.sock")
        device.settimeout(30)
        host, _ = device.accept()
        with host:
            hello = Message.unpack(host.recv(HEADER.size, socket.MSG_WAITALL))
    assert (hello.kind, hello.trigger_id) == (HELLO, 9)


@pytest.mark.parametrize("twin", [({}, "2.0")], indirect=True)
def test_a_host_that_comes_back_after_the_last_part_hears_of_the_end(line, twin, until):
    line.start(kind="twin", socket=twin.socket)
    until(lambda: line.status.camera_ready, "the camera")
    line.process.kill()
    line.process.wait()
    twin.start_belt()
    last_ns = twin.world.time_at_ns(twin.world.parts["position_mm"][-1])
    until(lambda: now_ns() > last_ns + 500_000_000, "the last part")
    line.status.camera_ready = 0
    line.start(kind="twin", socket=twin.socket)
    line.finish()
    assert line.stop() == 0
    assert twin.process.wait(20) == 0


def test_a_device_that_is_not_there_is_waited_for(line, tmp_path, until):
    line.start(kind="twin", socket=tmp_path / "camera.sock")
    until(lambda: "does not answer" in line.log, "the message")
    assert line.status.camera_ready == 0
    twin = Twin(tmp_path, {})
    try:
        until(lambda: line.status.camera_ready, "the camera")
    finally:
        twin.process.terminate()
        twin.process.wait()
    until(lambda: not line.status.camera_ready, "the camera to be missed")


def test_a_frame_larger_than_a_slot_leaves_the_stream_in_step(small_line, twin, until):
    run(small_line, twin, until)
    assert sorted(small_line.triggers) == list(range(1, PARTS + 1))
    assert small_line.frame(1).status == FrameStatus.OVERSIZE
    assert (small_line.frame(2).width, small_line.frame(2).height) == (640, 480)
    assert small_line.log.count("Raise camera.max_frame_mib to 0.3") == 1


GARBAGE = {
    "unknown kind": Message(77).pack(),
    "unknown pixel format": Message(FRAME, width=2, height=2, length=4, pixel_format=99).pack(),
    "stopped in mid-message": Message(FRAME, width=8, height=8, length=64, pixel_format=1).pack() + b"abc",
    "hung up": Message(TRIGGER).pack()[:20],
}


@pytest.mark.parametrize("text", GARBAGE)
def test_a_device_that_talks_nonsense_is_connected_to_again(line, tmp_path, until, text):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(20)
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        line.start(kind="twin", socket=tmp_path / "s")
        first, _ = listener.accept()
        assert Message.unpack(first.recv(HEADER.size)) == Message(HELLO, trigger_id=0)
        first.sendall(GARBAGE[text])
        if text == "hung up":
            first.close()
        second, _ = listener.accept()
        second.sendall(Message(TRIGGER, trigger_id=1).pack() + Message(END).pack())
        line.finish()
        assert text in line.log
        assert sorted(line.triggers) == [1]
        assert line.stop() == 0
        second.close()
        first.close()


def test_another_plan_than_the_worlds_is_refused(tmp_path):
    World.create(tmp_path / "world", plan_parts(3, SEED))
    command = [sys.executable, "-m", "tools.twin.camera", "--world", str(tmp_path / "world")]
    command += ["--socket", str(tmp_path / "s"), "--seed", str(SEED + 1), "--parts", "3"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "are not those of the world" in ended.stderr


def test_an_unknown_fault_is_refused(tmp_path):
    World.create(tmp_path / "world", plan_parts(3, SEED))
    command = [sys.executable, "-m", "tools.twin.camera", "--world", str(tmp_path / "world")]
    command += [
        "--socket",
        str(tmp_path / "s"),
        "--seed",
        str(SEED),
        "--parts",
        "3",
        "--faults",
        '{"dorp": [1]}',
    ]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "dorp" in ended.stderr


def test_parts_that_wait_for_the_renderer_are_one_event_and_go_out_in_order(tmp_path):
    specs, camera = plan_parts(PARTS, SEED), CameraModel()
    world = World.create(tmp_path / "world", specs, profile="2.0")
    descriptor = os.memfd_create("frames")
    os.ftruncate(descriptor, FrameQueue.size(camera))
    queue = FrameQueue(descriptor, camera)
    device = Device(world, SimpleNamespace(queue=queue), tmp_path / "camera.sock", CameraFaults())
    try:
        world.start(now_ns() - 100_000_000_000)  # all have passed
        for _ in range(2 * PARTS):  # each one's trigger, then its frame
            device._fire()
        assert (device.late_renders, len(device._events), device.ended) == (PARTS, 1, False)
        black = np.zeros((camera.height, camera.width), np.uint8)
        for index in range(PARTS):
            queue.put(index, black)
        sleep_until_ns(device._next_event_ns())
        device._fire()
        assert (device.ended, device.lost_frames, device._events) == (True, PARTS, [])
    finally:
        device.close()
        os.close(descriptor)
