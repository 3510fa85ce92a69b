"""How many parts per second one core renders: ``python -m benchmarks.twin [--parts N] [--json FILE]``.

CPU time of one thread, so that other processes do not count; five runs of every camera and look.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import cv2

from tools.twin.parts import METAL, PLAIN, plan_parts
from tools.twin.render import CameraModel, render, warm_up

CAMERAS = {
    "256x256": CameraModel(width=256, height=256, mm_per_pixel=0.28),
    "640x480": CameraModel(),
}
_RUNS = 5


def measure(camera: CameraModel, look: str, parts: int) -> list[float]:
    """Parts per second of CPU time, one figure per run."""
    warm_up(camera)
    specs = plan_parts(parts, 5, 0.65, ghost_share=0.06, look=look)
    rates = []
    for _ in range(_RUNS):
        begun_s = time.process_time()
        for spec in specs:
            render(spec, camera)
        rates.append(parts / (time.process_time() - begun_s))
    return rates


def main() -> None:
    """Prints median and range."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.twin", description=__doc__)
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found = {}
    for name, camera in CAMERAS.items():
        for look in (PLAIN, METAL):
            rates = measure(camera, look, options.parts)
            found[f"{name} {look}"] = rates
            print(
                f"{name} {look}: {statistics.median(rates):.0f} parts/s ({min(rates):.0f} to {max(rates):.0f})"
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
