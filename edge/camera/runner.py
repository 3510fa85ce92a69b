"""Everything about a camera that is the same for all kinds: slots, triggers, pace, reconnection, status."""

import logging
import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge._core import FrameSlot, FrameStatus, LoopState, Region, now_ns, set_fifo_priority, sleep_until_ns
from edge.camera.base import Camera, EndOfStream, Frame, Outcome, Trigger
from edge.camera.pace import Pace
from edge.errors import CameraError

log = logging.getLogger(__name__)

FIFO_PRIORITY = 50
GRAB_TIMEOUT_MS = 50
BEAT_NS = 50_000_000
POLL_NS = 200_000
FIRST_PAUSE_NS = 20_000_000
LONGEST_PAUSE_NS = 2_000_000_000
SAY_WAITING_NS = 1_000_000_000


class Runner:
    """Runs one camera until the line stops; never ends because a camera has gone."""

    def __init__(self, region: Region, camera: Camera, pace: Pace, *, wait_for_ready: bool) -> None:
        self._region = region
        self._status = region.status
        self._camera = camera
        self._pace = pace
        self._wait_for_ready = wait_for_ready
        self._slot: FrameSlot | None = None
        self._scratch = np.empty(0, np.uint8)
        self._frames = self._status.frames_published + self._status.frames_dropped
        self._first_decided = self._status.parts_decided
        self._first_trigger = self._status.triggers_pushed
        self._realtime = False

    def run(self) -> None:
        """Shows parts until ``status.stop``; at the end of the stream says so and goes on beating."""
        self._open()
        self._await_line()
        self._pace.start(now_ns(), self._status.triggers_pushed)
        while not self._stopping():
            try:
                outcome = self._camera.grab(self._target, GRAB_TIMEOUT_MS)
            except CameraError as error:
                log.warning("%s; reconnecting", error)
                self._camera.close()
                self._open()
                continue
            if isinstance(outcome, EndOfStream):
                break
            self._handle(outcome)
        self._status.end_of_stream = int(not self._status.stop)
        while not self._stopping():
            sleep_until_ns(now_ns() + BEAT_NS)
        self._camera.close()
        self._status.camera_ready = 0

    def _stopping(self) -> bool:
        self._status.camera_beat_ns = now_ns()
        return bool(self._status.stop)

    def _open(self) -> None:
        """Tries until the camera is there; it counts as not ready from the first failure on."""
        pause_ns = FIRST_PAUSE_NS
        while not self._stopping():
            try:
                self._camera.open(self._status.triggers_pushed)
            except CameraError as error:
                self._status.camera_ready = 0
                if pause_ns == FIRST_PAUSE_NS:
                    log.warning("%s; trying again", error)
                self._pause_until(now_ns() + pause_ns)
                pause_ns = min(2 * pause_ns, LONGEST_PAUSE_NS)
            else:
                self._status.camera_ready = 1
                self._set_realtime(not self._camera.decodes)
                return

    def _pause_until(self, end_ns: int) -> None:
        self._wait(lambda: now_ns() >= end_ns)

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
                stamp_ns = now_ns()  # the wait must not use up the time that the frame has
            self._region.push_trigger(outcome.trigger_id, outcome.encoder_count, stamp_ns)
        elif isinstance(outcome, Frame):
            self._show(outcome if outcome.trigger_id is not None else self._announce(outcome))

    def _await_decisions(self) -> None:
        def decided() -> bool:
            pushed = self._status.triggers_pushed - self._first_trigger
            return self._status.parts_decided - self._first_decided >= pushed

        self._wait(decided, poll_ns=POLL_NS)

    def _announce(self, frame: Frame) -> Frame:
        """Waits until the part is due and pushes the trigger that no sensor gave."""
        if self._pace.interval_ns:
            self._sleep_precisely(self._pace.next_ns)
        stamp_ns = now_ns()
        began_ns = stamp_ns if frame.exposure_end_ns is None else frame.exposure_end_ns
        trigger_id = self._status.triggers_pushed + 1
        encoder_count = self._pace.encoder_count(began_ns)
        self._region.push_trigger(trigger_id, encoder_count, began_ns)
        self._pace.shown(stamp_ns)
        return Frame(
            frame.width,
            frame.height,
            frame.stride,
            frame.pixel_format,
            frame.status,
            trigger_id=trigger_id,
            encoder_count=encoder_count,
            exposure_end_ns=began_ns,
        )

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
