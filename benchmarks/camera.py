"""A GigE Vision camera on loopback at 1920x1200 mono8: ``python -m benchmarks.camera [--seconds N] [--disconnects N]``.

60 frames/s; then 0.5 % of the packets lost; then a camera that is pulled again and again. The device's clock is the UTC
of this machine, so times are absolute. Exit code 1 when a frame was lost unnoticed, or torn and not flagged.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edge._core import Region
from edge.camera.aravis import AravisCamera
from edge.camera.base import Belt
from edge.camera.settings import AravisSettings
from edge.errors import CameraError
from tools.twin.gige.program import STAMPED, GigeDevice

RATE = 60
NOTHING = np.empty(0, np.uint8)
PULLED_MS = 300


class Bench:
    """The camera and its ring; frames are given back unread."""

    def __init__(self, folder: Path, packet_size: int) -> None:
        self.settings = AravisSettings(
            kind="aravis",
            device="127.0.0.1",
            trigger="free",
            frame_rate=RATE,
            region={"width": 1920, "height": 1200},
            max_frame_mib=2.3,
            clock="utc",
            silence_limit_ms=250,
            packet_size=packet_size,
        )
        self.region = Region.create(
            str(folder / "region"), frame_slots=24, slot_bytes=self.settings.slot_bytes
        )
        self.camera = AravisCamera(self.settings)
        self.camera.join(self.region, Belt(1.2, 10.0, 100_000_000))
        self.capture = self.camera._capture
        self.status = self.region.status

    def look(self, seconds: float) -> None:
        """Takes frames for so long. Raises CameraError when the camera has gone."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.camera.grab(lambda: NOTHING, 10)
            self.region.discard_frames()


def steady(bench: Bench, device: GigeDevice, seconds: float) -> dict[str, float]:
    """Frames without faults. Where it was opened again, the device's longest gap says whether it stood still."""
    bench.look(1.0)  # until its second frame the device takes its time
    status = bench.status
    before = (status.camera_frames, status.camera_incomplete, status.camera_lost, bench.capture.cpu_ns)
    device_ms = cpu_ms(device.process.pid)
    device.ask("sent")
    reopened = 0
    began_s = time.monotonic()
    for second in range(max(1, round(seconds))):
        try:
            bench.look(1.0)
        except CameraError:
            reopened += 1
            bench.camera.close()
            bench.camera.open(0)
        if second % 10 == 9:
            print(f"  {second + 1} s, {status.camera_frames - before[0]} frames", flush=True)
    took_s = time.monotonic() - began_s
    sends_us, gap_us = (int(number) for number in device.ask("sent").split()[1:])
    return {
        "frames": status.camera_frames - before[0],
        "frames_per_s": round((status.camera_frames - before[0]) / took_s, 2),
        "incomplete": status.camera_incomplete - before[1],
        "lost": status.camera_lost - before[2],
        "lost_unnoticed": status.camera_lost_unnoticed,
        "device_to_slot_p50_ms": round(status.camera_delay_p50_ns / 1e6, 3),
        "device_to_slot_p99_ms": round(status.camera_delay_p99_ns / 1e6, 3),
        "device_sends_p50_ms": sends_us / 1e3,
        "device_longest_gap_ms": gap_us / 1e3,
        "reopened": reopened,
        "device_cpu_ms_per_frame": round(
            (cpu_ms(device.process.pid) - device_ms) / max(1, status.camera_frames - before[0]), 3
        ),
        "capture_thread_cpu_percent": round((bench.capture.cpu_ns - before[3]) / 1e7 / took_s, 2),
        "driver_thread_cpu_percent": round(bench.capture.driver_cpu_ns / 1e7 / took_s, 2),
        "copies_per_frame": status.camera_copies / max(1, status.camera_frames),
    }


def cpu_ms(pid: int) -> float:
    """Processor time of a process. The device paints and sends in one thread."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6


def lossy(bench: Bench, device: GigeDevice, seconds: float) -> dict[str, float]:
    """0.5 % of the packets lost; how many of the frames that passed as whole were not."""
    status = bench.status
    before = (status.camera_frames, status.camera_incomplete, status.camera_lost)
    device.ask("loss 5")
    torn = 0
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        bench.look(0.1)
        torn += holes_in_last(bench)
    device.ask("loss 0")
    return {
        "frames": status.camera_frames - before[0],
        "incomplete": status.camera_incomplete - before[1],
        "lost": status.camera_lost - before[2],
        "lost_unnoticed": status.camera_lost_unnoticed,
        "whole_by_status_but_torn": torn,
    }


def holes_in_last(bench: Bench) -> int:
    """1 when the last frame says that it is whole and its pixels say otherwise."""
    last = bench.capture.last
    frame = bench.region.copy_frame(last.trigger_id) if last is not None else None
    if frame is None or frame.status != 0 or frame.width == 0:
        return 0
    part = int(np.frombuffer(frame.pixels[:8].tobytes(), np.int64)[0])
    return int(not np.all(frame.pixels[STAMPED:] == 60 + part % 64))


def pulled(bench: Bench, device: GigeDevice, times: int) -> dict[str, float]:
    """Seconds from the device being back to the first frame after it."""
    took: list[float] = []
    again = 0
    early = rss_mib()
    for count in range(times):
        device.ask(f"unplug {PULLED_MS}")
        back_s = time.monotonic()
        while not reopen(bench):
            again += 1
        took.append(time.monotonic() - back_s)
        if count == times // 4:
            early = rss_mib()
        if count % 10 == 9:
            print(f"  pulled {count + 1} times", flush=True)
    return {
        "disconnects": times,
        "recovered": len(took),
        "opened_again": again,
        "median_s": round(statistics.median(took), 3),
        "longest_s": round(max(took), 3),
        "rss_quarter_mib": round(early, 1),
        "rss_end_mib": round(rss_mib(), 1),
    }


def reopen(bench: Bench) -> bool:
    """Waits for the loss, opens, waits for a frame. False: lost again before it (the machine stood still)."""
    with contextlib.suppress(CameraError):
        while True:
            bench.look(0.1)
    frames = bench.status.camera_frames
    bench.camera.close()
    while True:
        try:
            bench.camera.open(0)
            break
        except CameraError:
            time.sleep(0.05)
    try:
        while bench.status.camera_frames == frames:
            bench.look(0.002)
    except CameraError:
        return False
    return True


def rss_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1024 * 1024)


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.camera", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=10, help="of the run without faults; 600 is the long form"
    )
    parser.add_argument("--disconnects", type=int, default=5, help="200 is the long form")
    parser.add_argument("--packet-size", type=int, default=8000, help="bytes of a GigE Vision packet")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = GigeDevice()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        bench = Bench(Path(folder), options.packet_size)
        bench.camera.open(0)
        found["steady"] = steady(bench, device, options.seconds)
        print("steady", found["steady"], flush=True)
        found["lossy"] = lossy(bench, device, min(10.0, options.seconds))
        print("lossy", found["lossy"], flush=True)
        if options.disconnects:
            found["pulled"] = pulled(bench, device, options.disconnects)
            print("pulled", found["pulled"], flush=True)
        bench.camera.close()
    device.close()
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return int(found["lossy"]["lost_unnoticed"] > 0 or found["lossy"]["whole_by_status_but_torn"] > 0)


if __name__ == "__main__":
    sys.exit(main())
