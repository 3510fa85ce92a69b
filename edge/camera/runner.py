"""Everything about a camera that is the same for all kinds: slots, triggers, pace, reconnection, status."""

import logging
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge._core import FrameSlot, FrameStatus, LoopState, Region, now_ns, set_fifo_priority, sleep_until_ns
from edge.camera.base import Camera, Delivered, EndOfStream, Frame, Outcome, Trigger
from edge.camera.connection import Connection
from edge.camera.deadline import FrameDeadline
from edge.camera.pace import Pace
from edge.errors import CameraError
from edge.service.notify import Notifier

log = logging.getLogger(__name__)

FIFO_PRIORITY = 50
GRAB_TIMEOUT_MS = 50
BEAT_NS = 50_000_000
POLL_NS = 200_000
CONNECT_POLL_NS = 2_000_000
CLOSE_S = 1.0
SAY_WAITING_NS = 1_000_000_000


class Runner:
    """Runs one camera until the line stops; never ends because a camera has gone."""

    def __init__(
        self,
        region: Region,
        camera: Camera,
        pace: Pace,
        deadline: FrameDeadline,
        *,
        wait_for_ready: bool,
        notifier: Notifier | None = None,
        lit: Callable[[], bool] = lambda: True,
    ) -> None:
        self._region = region
        self._status = region.status
        self._camera = camera
        self._pace = pace
        self._deadline = deadline
        self._connection = Connection(camera, lambda: self._status.last_trigger_id)
        self._opened_before = False
        self._wait_for_ready = wait_for_ready
        self._lit = lit
        self._notifier = notifier or Notifier()
        self._slot: FrameSlot | None = None
        self._scratch = np.empty(0, np.uint8)
        self._frames = self._status.frames_published + self._status.frames_dropped
        self._first_decided = self._status.parts_decided
        self._first_trigger = self._status.triggers_pushed
        self._realtime = False

    def run(self) -> None:
        """Shows parts until ``status.stop``; at the end of the stream says so and goes on beating.

        Raises CameraHungError when opening or closing the camera never ends.
        """
        self._connect()
        self._await_line()
        self._pace.start(now_ns(), self._status.triggers_pushed)
        while not self._stopping():
            if not self._connection.is_open:
                self._connect()
                continue
            try:
                outcome = self._camera.grab(self._target, GRAB_TIMEOUT_MS)
            except CameraError as error:
                self._lose(str(error))
                continue
            if isinstance(outcome, EndOfStream):
                break
            self._handle(outcome)
            self._look_for_loss(outcome)
            self._tell_ready()
        self._status.end_of_stream = int(not self._status.stop)
        while not self._stopping():
            sleep_until_ns(now_ns() + BEAT_NS)
        self._connection.close(CLOSE_S)
        self._status.camera_ready = 0

    def _stopping(self) -> bool:
        beat_ns = now_ns()
        self._status.camera_beat_ns = beat_ns
        if self._notifier.follow(beat_ns):
            self._notifier.say("camera open" if self._status.camera_ready else "no camera, trying again")
        return bool(self._status.stop)

    def _connect(self) -> None:
        """Tries until the camera is there; it counts as not ready from the first failure on."""
        while not self._stopping() and not self._connection.is_open:
            self._connection.wait(POLL_NS / 1e9)
            self._connection.step(now_ns())
            self._tell_ready()
            if not self._connection.is_open:
                sleep_until_ns(now_ns() + CONNECT_POLL_NS)
        if self._connection.is_open:
            self._status.camera_reconnects += int(self._opened_before)
            self._opened_before = True
            self._deadline.opened(self._connection.opened_ns)
            self._set_realtime(not self._camera.decodes)

    def _tell_ready(self) -> None:
        self._status.camera_ready = int(self._connection.ready and self._lit())

    def _lose(self, reason: str, *, silent: bool = False) -> None:
        """A half-filled slot is given up with the connection: nothing of it may become a frame."""
        self._status.camera_ready = 0
        self._set_realtime(False)
        if self._slot is not None:
            self._slot.drop()
            self._slot = None
        self._connection.lost(reason, now_ns(), silent=silent)

    def _look_for_loss(self, outcome: Outcome) -> None:
        now = now_ns()
        if isinstance(outcome, (Frame, Delivered)):
            self._deadline.frame(now)
            self._connection.frame(now)
        elif isinstance(outcome, Trigger):
            self._deadline.trigger(now)
        reason = self._deadline.lost(now)
        if reason:
            self._lose(reason, silent=self._camera.free_running)

    def _await_line(self) -> None:
        if self._camera.lockstep:
            self._wait(lambda: self._status.loop_state == LoopState.READY)
        if not self._wait_for_ready:
            return
        say_at_ns = now_ns() + SAY_WAITING_NS

        def ready() -> bool:
            nonlocal say_at_ns
            if say_at_ns and now_ns() > say_at_ns:
                log.info("waiting with the first part until the line is ready (is the PLC connected?)")
                say_at_ns = 0
            return bool(self._status.line_ready)

        self._wait(ready, poll_ns=2_000_000)

    def _wait(self, done: Callable[[], bool], poll_ns: int = BEAT_NS // 5) -> None:
        while not done() and not self._stopping():
            sleep_until_ns(now_ns() + poll_ns)

    def _target(self) -> NDArray[np.uint8]:
        if self._slot is None:
            self._slot = self._region.claim_slot()
        if self._slot is not None:
            return self._slot.pixels
        if not self._scratch.size:
            self._scratch = np.empty(self._region.slot_bytes, np.uint8)
        return self._scratch

    def _handle(self, outcome: Outcome) -> None:
        if isinstance(outcome, Trigger):
            stamp_ns = outcome.stamp_ns
            if self._camera.lockstep:
                self._await_decisions()
                self._ask_for(outcome.recipe)
                stamp_ns = now_ns()  # the wait must not use up the time that the frame has
            self._region.push_trigger(outcome.trigger_id, outcome.encoder_count, stamp_ns)
        elif isinstance(outcome, Frame):
            frame = self._doubt(outcome)
            self._show(frame if frame.trigger_id is not None else self._announce(frame))

    def _doubt(self, frame: Frame) -> Frame:
        """What was exposed before this connection, or without its light, is never judged."""
        if frame.status is FrameStatus.OK and not self._lit():
            return replace(frame, status=FrameStatus.UNLIT)
        stamp_ns = frame.exposure_end_ns
        if stamp_ns is None or stamp_ns >= self._connection.opened_ns or frame.status is FrameStatus.STALE:
            return frame
        self._status.camera_stale += 1
        return replace(frame, status=FrameStatus.STALE)

    def _await_decisions(self) -> None:
        def decided() -> bool:
            pushed = self._status.triggers_pushed - self._first_trigger
            return self._status.parts_decided - self._first_decided >= pushed

        self._wait(decided, poll_ns=POLL_NS)

    def _ask_for(self, recipe: int) -> None:
        """As a PLC would, before the part that it shall judge."""
        status = self._status
        if recipe in {0, status.recipe_active}:
            return
        status.recipe_refused = 0
        status.recipe_wanted = recipe
        self._region.ring_loop()
        self._wait(lambda: recipe in {status.recipe_active, status.recipe_refused}, poll_ns=POLL_NS)
        if status.recipe_active != recipe:
            log.error("recipe %d is refused: the parts of it are judged by %d", recipe, status.recipe_active)

    def _announce(self, frame: Frame) -> Frame:
        """Waits until the part is due and pushes the trigger that no sensor gave."""
        if self._pace.interval_ns:
            self._sleep_precisely(self._pace.next_ns)
        stamp_ns = now_ns()
        began_ns = stamp_ns if frame.exposure_end_ns is None else frame.exposure_end_ns
        trigger_id = self._status.last_trigger_id + 1
        encoder_count = self._pace.encoder_count(began_ns)
        self._region.push_trigger(trigger_id, encoder_count, began_ns)
        self._pace.shown(stamp_ns)
        return replace(frame, trigger_id=trigger_id, encoder_count=encoder_count, exposure_end_ns=began_ns)

    def _sleep_precisely(self, due_ns: int) -> None:
        self._set_realtime(True)
        while due_ns - now_ns() > BEAT_NS and not self._stopping():
            sleep_until_ns(now_ns() + BEAT_NS)
        sleep_until_ns(min(due_ns, now_ns() + BEAT_NS))

    def _show(self, frame: Frame) -> None:
        self._frames += 1
        slot, self._slot = self._slot, None
        if slot is not None:
            stamp_ns = frame.exposure_end_ns
            slot.publish(
                frame_id=self._frames if frame.frame_id is None else frame.frame_id,
                trigger_id=frame.trigger_id or 0,
                encoder_count=frame.encoder_count or 0,
                exposure_end_ns=now_ns() if stamp_ns is None else stamp_ns,
                width=frame.width,
                height=frame.height,
                stride=frame.stride,
                pixel_format=frame.pixel_format,
                status=FrameStatus(frame.status),
            )
        if self._camera.decodes:
            self._set_realtime(False)

    def _set_realtime(self, wanted: bool) -> None:
        """Real-time only while waiting and publishing: decoding like that would hold up the engines."""
        if wanted and not self._realtime:
            self._realtime = set_fifo_priority(FIFO_PRIORITY)
        elif self._realtime and not wanted:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            self._realtime = False
