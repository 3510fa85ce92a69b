"""The twin camera device: fires triggers by the belt and sends the rendered frames, like a camera on a cable.

Speaks the protocol of ``edge.camera.twin_wire``. Times are absolute CLOCK_MONOTONIC, from the world.
"""

import argparse
import gc
import heapq
import logging
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edge._core import PixelFormat, now_ns, set_fifo_priority, sleep_until_ns
from edge.camera.twin_wire import END, FRAME, HEADER, HELLO, TRIGGER, Message
from edge.errors import EdgeError, TwinError
from tools.twin.camera_faults import CameraFaults
from tools.twin.render import CameraModel
from tools.twin.render_pool import Plan, RenderPool
from tools.twin.world import NEVER_NS, World

log = logging.getLogger("twin.camera")

EXPOSURE_NS = 200_000
BYTES_PER_S = 125_000_000
"""Gigabit Ethernet."""
FIFO_PRIORITY = 60
RESEND_NS = 2_000_000_000
"""Older triggers are not sent again: those parts have left the belt."""
SEND_TIMEOUT_S = 0.2
NO_PIXELS = memoryview(b"")
_SOON_NS = 1_500_000
_IDLE_NS = 5_000_000
_LATE_RENDER_NS = 1_000_000
_TELL_END_NS = 60_000_000_000
"""A host that lost its camera near the end comes back, and the line waits for the word that it is over."""

Action = Callable[[int], None]


class Device:
    """One camera with one cable. ``index`` is the part's place in the world, its trigger id is index + 1."""

    def __init__(self, world: World, pool: RenderPool, path: Path, faults: CameraFaults) -> None:
        self._world = world
        self._pool = pool
        self._faults = faults
        self._camera = CameraModel()
        self._count = len(world.parts)
        self._events: list[tuple[int, int, Action]] = []
        self._next_trigger = 0
        self._sent: set[int] = set()
        self._first = 0
        self._line: socket.socket | None = None
        self._listener = _listen(path)
        self.ended = False
        self._end_told = False
        self._end_until_ns = NEVER_NS
        self._late: list[int] = []
        self.late_renders = 0
        self.lost_frames = 0

    def run(self) -> None:
        """Shows every part; ends when a host that was told so has hung up, or none came to be told."""
        while not self._over():
            due_ns = self._next_event_ns()
            if due_ns - now_ns() > _SOON_NS:
                self._serve_line(min(due_ns - _SOON_NS, now_ns() + _IDLE_NS))
                continue
            sleep_until_ns(due_ns)
            self._fire()

    def _over(self) -> bool:
        return self.ended and self._line is None and (self._end_told or now_ns() >= self._end_until_ns)

    def close(self) -> None:
        """Hangs up and stops listening."""
        self._hang_up()
        self._listener.close()

    def _next_event_ns(self) -> int:
        trigger_ns = NEVER_NS
        if self._next_trigger < self._count and self._world.start_ns:
            trigger_ns = self._world.time_at_ns(self._position_mm(self._next_trigger))
        return min(trigger_ns, self._events[0][0] if self._events else NEVER_NS)

    def _fire(self) -> None:
        """The first event: triggers go before what is due at the same time."""
        index = self._next_trigger
        if index < self._count and self._world.time_at_ns(self._position_mm(index)) <= now_ns():
            self._next_trigger += 1
            self._trigger(index)
        elif self._events and self._events[0][0] <= now_ns():
            _, index, action = heapq.heappop(self._events)
            action(index)

    def _trigger(self, index: int) -> None:
        # Latched by the sensor's edge: this process may be held up, the hardware that it stands for is not.
        stamp_ns = self._world.time_at_ns(self._position_mm(index))
        self._world.parts["trigger_ns"][index] = stamp_ns
        self._send_trigger(index)
        if index + 1 in self._faults.close:
            self._hang_up()
        delay_ns = round(self._faults.delay_ms.get(index + 1, 0.0) * 1e6)
        self._at(stamp_ns + EXPOSURE_NS + self._transfer_ns() + delay_ns, index, self._frame)

    def _transfer_ns(self) -> int:
        """How long the cable holds a frame."""
        return self._camera.width * self._camera.height * 1_000_000_000 // BYTES_PER_S

    def _send_trigger(self, index: int) -> None:
        stamp_ns = int(self._world.parts["trigger_ns"][index])
        self._send(
            Message(
                TRIGGER,
                trigger_id=index + 1,
                encoder_count=self._world.encoder_count(stamp_ns),
                stamp_ns=stamp_ns,
            )
        )

    def _frame(self, index: int) -> None:
        if self._pool.queue.rendered <= index:
            self._wait_for_render(index)
            return
        if index + 1 not in self._faults.drop | self._faults.close:
            self._send_frame(index)
        self._frame_is_done(index)

    def _wait_for_render(self, index: int) -> None:
        """Only the first of those that wait looks again: this process runs in real time, and hundreds that did would
        take from the renderer the processor that it is late for."""
        self.late_renders += 1
        heapq.heappush(self._late, index)
        if len(self._late) == 1:
            self._look_again()

    def _look_again(self) -> None:
        self._at(now_ns() + _LATE_RENDER_NS, self._late[0], self._late_frame)

    def _late_frame(self, _first: int) -> None:
        rendered = self._pool.queue.rendered
        while self._late and self._late[0] < rendered:
            self._frame(heapq.heappop(self._late))
        if self._late:
            self._look_again()

    def _send_frame(self, index: int) -> None:
        pixels = self._pool.queue.slot(index)
        length = pixels.size // 2 if index + 1 in self._faults.short else pixels.size
        trigger_ns = int(self._world.parts["trigger_ns"][index])
        header = Message(
            FRAME,
            width=self._camera.width,
            height=self._camera.height,
            length=length,
            frame_id=index + 1,
            trigger_id=index + 1,
            encoder_count=self._world.encoder_count(trigger_ns),
            stamp_ns=trigger_ns + EXPOSURE_NS,
            pixel_format=int(PixelFormat.BAYER_RG8),
        )
        self._send(header, pixels.reshape(-1).data[:length])

    def _frame_is_done(self, index: int) -> None:
        # A delayed frame keeps its slot, and with it all younger ones, until it has been sent.
        self._sent.add(index)
        while self._first in self._sent:
            self._sent.remove(self._first)
            self._first += 1
        self._pool.queue.consume(self._first)
        if self._first == self._count:
            self.ended = True
            self._end_until_ns = now_ns() + _TELL_END_NS
            self._tell_end()

    def _at(self, due_ns: int, index: int, action: Action) -> None:
        heapq.heappush(self._events, (due_ns, index, action))

    def _position_mm(self, index: int) -> float:
        return float(self._world.parts["position_mm"][index])

    def _send(self, message: Message, pixels: memoryview = NO_PIXELS) -> None:
        if self._line is None:
            self.lost_frames += message.kind == FRAME
            return
        try:
            sent = self._line.sendmsg([message.pack(), pixels])
            if sent < HEADER.size:
                raise ConnectionError("a header in pieces")
            self._line.sendall(pixels[sent - HEADER.size :])
        except OSError as error:
            log.warning("the host does not take message %d: %s", message.trigger_id, error)
            self.lost_frames += message.kind == FRAME
            self._hang_up()

    def _serve_line(self, until_ns: int) -> None:
        """Waits for the next event; meanwhile accepts a host, and notices when it goes."""
        watched = self._listener if self._line is None else self._line
        ready, _, _ = select.select([watched], [], [], max(0.0, (until_ns - now_ns()) / 1e9))
        if not ready:
            return
        if self._line is None:
            self._accept()
        else:
            self._hang_up()  # a host says nothing after its hello: it has gone

    def _accept(self) -> None:
        line, _ = self._listener.accept()
        line.settimeout(SEND_TIMEOUT_S)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        try:
            hello = Message.unpack(line.recv(HEADER.size, socket.MSG_WAITALL))
        except (OSError, ValueError) as error:
            log.warning("a host without a hello: %s", error)
            line.close()
            return
        self._line = line
        self._resend(hello)

    def _resend(self, hello: Message) -> None:
        """Tells the host about parts that passed while it was away."""
        if hello.kind != HELLO:
            self._hang_up()
        for index in range(hello.trigger_id, self._next_trigger):
            if self._world.parts["trigger_ns"][index] > now_ns() - RESEND_NS:
                self._send_trigger(index)
        if self.ended:
            self._tell_end()

    def _tell_end(self) -> None:
        self._send(Message(END))
        self._end_told = self._line is not None

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


MakeDevice = Callable[[World, RenderPool, Path, CameraFaults], Device]


def main(argv: Sequence[str], make: MakeDevice = Device) -> int:
    """Runs the device; prints ``ready`` when a host may connect and the belt may start."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="twin camera: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return _run(arguments, make)
    except EdgeError as error:
        log.error("%s", error)
        return 2


def _run(arguments: argparse.Namespace, make: MakeDevice) -> int:
    world = World.attach(arguments.world)
    faults = CameraFaults.parse(arguments.faults) if arguments.faults else CameraFaults()
    plan = Plan(
        arguments.parts,
        arguments.seed,
        arguments.defect_share,
        arguments.pitch_mm,
        arguments.ghost_share,
        dict(faults.exposure_ev),
        world.profile_text,
    )
    _check_plan(plan, world)
    pool = RenderPool(plan, CameraModel())
    device = None
    try:
        device = make(world, pool, arguments.socket, faults)
        pool.wait_filled()
        gc.freeze()
        gc.disable()
        set_fifo_priority(FIFO_PRIORITY)
        print("ready", flush=True)
        device.run()
    finally:
        pool.close()
        if device is not None:
            device.close()
    if device.late_renders or device.lost_frames:
        log.warning(
            "%d frames waited for the renderer, %d went out without a host",
            device.late_renders,
            device.lost_frames,
        )
    return 0


def _check_plan(plan: Plan, world: World) -> None:
    positions = np.array([spec.position_mm for spec in plan.specs()])
    if len(positions) != len(world.parts) or not np.array_equal(positions, world.parts["position_mm"]):
        raise TwinError(
            f"{plan.count} parts of seed {plan.seed} are not those of the world ({len(world.parts)} parts); "
            "give the camera the same plan that the world was made of"
        )


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen(2)
    except OSError as error:
        listener.close()
        raise TwinError(f"{path}: the camera's socket cannot be made: {error.strerror or error}") from error
    return listener


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.twin camera", description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="the twin's world file")
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--parts", type=int, required=True)
    parser.add_argument("--defect-share", type=float, default=0.2)
    parser.add_argument("--pitch-mm", type=float, default=80.0)
    parser.add_argument("--ghost-share", type=float, default=0.0)
    parser.add_argument("--faults", default="", help="CameraFaults as JSON, or the path of a JSON file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
