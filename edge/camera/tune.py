"""How evenly a camera delivers: jitter, loss, and the delay that the host adds, from a run of frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge._core import FrameStatus
from edge.camera.grabbing import Grabbed


@dataclass(frozen=True)
class Delivery:
    """Of one run; times in ms."""

    frames: int
    lost: int
    """Frame ids that never came, where the camera counts its frames."""
    incomplete: int
    period_p50_ms: float
    jitter_p99_ms: float
    """Distance of a frame from its even place, p99."""
    late_p99_ms: float
    """Slowest deliveries above the fastest one, p99: frame time-outs must allow for it."""
    device_to_host_p50_ms: float | None = None
    """From the device's own stamp (end of exposure) to the whole frame; None where only the host stamps frames."""
    device_to_host_p99_ms: float | None = None


def delivery(run: Sequence[Grabbed], *, own_stamps: bool = False) -> Delivery | None:
    """None: fewer than three frames tell nothing. ``own_stamps``: as the camera that gave them has it."""
    if len(run) < 3:
        return None
    received = np.array([one.received_ns for one in run], np.float64) / 1e6
    gaps = np.diff(received)
    ids = [one.frame.frame_id for one in run]
    numbers = np.array([i if i is not None else n for n, i in enumerate(ids)], np.float64)
    steps = np.diff(numbers)
    # Even places: a line through frame number and time; the lower envelope is the fastest delivery.
    slope, start = np.polyfit(numbers - numbers[0], received - received[0], 1)
    rest = (received - received[0]) - (slope * (numbers - numbers[0]) + start)
    ways = [
        (one.received_ns - one.frame.exposure_end_ns) / 1e6
        for one in run
        if own_stamps and one.frame.exposure_end_ns is not None and one.frame.status is FrameStatus.OK
    ]
    return Delivery(
        frames=len(run),
        lost=int((steps[steps > 1] - 1).sum()),
        incomplete=sum(one.frame.status is FrameStatus.INCOMPLETE for one in run),
        period_p50_ms=float(np.median(gaps)),
        jitter_p99_ms=float(np.percentile(np.abs(rest), 99)),
        late_p99_ms=float(np.percentile(rest - rest.min(), 99)),
        device_to_host_p50_ms=float(np.percentile(ways, 50)) if ways else None,
        device_to_host_p99_ms=float(np.percentile(ways, 99)) if ways else None,
    )
