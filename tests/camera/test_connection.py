"""The reconnect state machine on real threads and a real region, with a camera whose cable the test pulls."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from edge._core import FrameStatus, PixelFormat, Region, now_ns
from edge.backoff import BackOff
from edge.camera import connection
from edge.camera.base import Camera, EndOfStream, Frame, Trigger
from edge.camera.connection import OPEN, TRANSITIONS, Connection, Event, State
from edge.camera.deadline import LOST_AFTER_FRAMES, FrameDeadline
from edge.camera.pace import Pace
from edge.camera.runner import Runner
from edge.errors import CameraError, CameraHungError
from tests.camera.conftest import wait_until

MS = 1_000_000


class Cable(Camera):
    """Shows what the test put into ``next``; ``plugged`` and ``closing`` are the test's hands on it."""

    def __init__(self, free_running=False):
        self.free_running = free_running
        self.plugged = threading.Event()
        self.plugged.set()
        self.closing = threading.Event()
        self.closing.set()
        self.opened = self.closed = 0
        self.next = []
        self.fail = False

    def open(self, shown):
        if not self.plugged.is_set():
            raise CameraError("cable: nobody there")
        self.opened += 1

    def grab(self, target, timeout_ms):
        if self.fail:
            self.fail = False
            raise CameraError("cable: pulled")
        if not self.next:
            time.sleep(timeout_ms / 10e3)
            return None
        outcome = self.next.pop(0)
        if isinstance(outcome, Frame):
            target()[:4] = 7
        return outcome

    def close(self):
        self.closing.wait(20)
        self.closed += 1


@pytest.fixture
def region(tmp_path):
    return Region.create(str(tmp_path / "region"), frame_slots=8, slot_bytes=4096)


@pytest.fixture
def running(region):
    """Starts a runner on a thread; the line stops it."""
    threads = []

    def start(camera, **deadline):
        limits = {"frame_timeout_ms": 30.0, "silence_limit_ms": None, **deadline}
        pace = Pace(speed_m_per_s=1.0, counts_per_mm=10.0, pitch_mm=None)
        runner = Runner(region, camera, pace, FrameDeadline(**limits), wait_for_ready=False)
        threads.append(threading.Thread(target=runner.run))
        threads[-1].start()
        wait_until(lambda: camera.opened, "the camera to be opened")

    yield start
    region.status.stop = 1
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def picture(trigger_id=None, stamp_ns=None):
    return Frame(
        2,
        2,
        2,
        PixelFormat.MONO8,
        trigger_id=trigger_id,
        encoder_count=0,
        exposure_end_ns=stamp_ns or now_ns(),
    )


def test_every_state_has_a_way_out_and_only_open_ones_take_frames():
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert {state for state, event in TRANSITIONS if event is Event.FRAME} == set(OPEN)
    assert {state for state, event in TRANSITIONS if event is Event.LOST} == set(OPEN)


def test_a_pulled_camera_is_opened_again_and_the_line_keeps_beating(region, running):
    camera = Cable()
    running(camera)
    status = region.status
    wait_until(lambda: status.camera_ready, "the camera")
    camera.plugged.clear()
    camera.closing.clear()  # a dead camera blocks whoever closes it
    camera.fail = True
    wait_until(lambda: not status.camera_ready, "the loss")
    for _ in range(5):
        beat = status.camera_beat_ns
        wait_until(lambda beat=beat: status.camera_beat_ns > beat, "the beat while the camera closes")
    assert camera.closed == 0
    camera.closing.set()
    wait_until(lambda: camera.closed >= 2, "another attempt")
    assert not status.camera_ready
    camera.plugged.set()
    wait_until(lambda: status.camera_ready, "the camera")
    assert camera.opened == 2 and status.camera_reconnects == 1
    region.status.stop = 1


def test_frames_that_stay_away_are_a_loss(region, running):
    camera = Cable()
    running(camera)
    camera.next = [Trigger(n, n, now_ns()) for n in range(1, LOST_AFTER_FRAMES + 1)]
    wait_until(lambda: camera.opened == 2, "the camera to be opened again")
    assert region.status.triggers_pushed == LOST_AFTER_FRAMES


def test_a_free_running_camera_that_fell_silent_is_ready_with_its_next_frame(region, running):
    camera = Cable(free_running=True)
    running(camera, silence_limit_ms=150.0)
    wait_until(lambda: region.status.camera_reconnects >= 1, "the camera to be opened again")
    assert not region.status.camera_ready
    camera.next = [picture()]
    wait_until(lambda: region.status.camera_ready, "the first frame")


def test_a_frame_from_before_the_reopening_is_never_judged(region, running):
    camera = Cable()
    running(camera)
    old_ns = now_ns()
    camera.fail = True
    wait_until(lambda: camera.opened == 2, "the camera to be opened again")
    camera.next = [Trigger(1, 0, old_ns), picture(1, old_ns - MS), picture(None, old_ns - MS), picture(None)]
    wait_until(lambda: region.status.frames_published == 3, "the frames")
    found = [region.copy_frame(trigger_id).status for trigger_id in (1, 2, 3)]
    assert found == [FrameStatus.STALE, FrameStatus.STALE, FrameStatus.OK]
    assert region.status.camera_stale == 2


def test_the_end_of_the_stream_is_no_loss(region, running):
    camera = Cable()
    running(camera)
    camera.next = [EndOfStream()]
    wait_until(lambda: region.status.end_of_stream, "the end")
    assert camera.opened == 1


def test_a_camera_that_never_closes_is_left_to_a_new_process(monkeypatch):
    monkeypatch.setattr(connection, "HUNG_NS", 20 * MS)
    camera = Cable()
    line = Connection(camera, lambda: 0)
    line.wait(10)
    line.step(now_ns())
    assert line.is_open
    camera.closing.clear()
    line.lost("pulled", now_ns())
    with pytest.raises(CameraHungError, match="closing"):
        line.step(now_ns() + 21 * MS)
    camera.closing.set()


HANGS_ONCE = """
import sys, pathlib
from edge.camera import connection, host, kinds
from edge.camera.base import Camera
from edge.errors import CameraError
connection.HUNG_NS = 50_000_000
mark = pathlib.Path(sys.argv[-1]).parent / "hung"
class Hanging(Camera):
    def __init__(self, settings): pass
    def open(self, shown): pass
    def grab(self, target, timeout_ms): raise CameraError("pulled")
    def close(self):
        mark.touch()
        import threading; threading.Event().wait()
kinds.KINDS["replay"] = kinds.Kind(Hanging, lambda settings: None)
sys.exit(host.main(sys.argv[1:]))
"""


def test_the_process_is_replaced_in_place_when_its_camera_hangs(line, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "0.png").write_bytes(b"")
    config = tmp_path / "camera.json"
    config.write_text(
        f'{{"camera": {{"kind": "replay", "path": "{tmp_path}/parts", "wait_for_ready": false}},'
        '"speed_m_per_s": 2, "counts_per_mm": 10}'
    )
    command = [
        sys.executable,
        "-c",
        HANGS_ONCE,
        "--region",
        str(tmp_path / "region"),
        "--config",
        str(config),
    ]
    with line.log_path.open("ab") as log:
        line.process = subprocess.Popen(command, stderr=log)
    line.finish()
    assert (tmp_path / "hung").exists() and "started anew" in line.log
    # The new process, under the same id, runs the kind as it is installed and comes to the end.
    assert line.triggers.keys() == {1}
    assert line.stop() == 0


def test_deadlines():
    deadline = FrameDeadline(frame_timeout_ms=10, silence_limit_ms=None)
    for _ in range(LOST_AFTER_FRAMES - 1):
        deadline.trigger(0)
    assert deadline.lost(10**12) is None
    deadline.trigger(5 * MS)
    assert deadline.lost(15 * MS) is None and "3 triggers" in deadline.lost(15 * MS + 1)
    deadline.frame(16 * MS)
    assert deadline.lost(10**12) is None
    silent = FrameDeadline(frame_timeout_ms=10, silence_limit_ms=100)
    silent.opened(0)
    assert silent.lost(100 * MS) is None and "silence_limit_ms" in silent.lost(101 * MS)


def test_pauses_grow_to_their_limit():
    back_off, pauses = BackOff(1000), []
    for _ in range(10):
        back_off.lost(0)
        pauses.append(back_off.due_ns // MS)
    assert pauses == sorted(pauses) and pauses[0] == 0 and pauses[-1] == 1000
    assert np.diff(pauses).max() <= 500
