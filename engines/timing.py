"""Latency of an engine, one picture at a time."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_WARM_UP = 20


def times_ms(
    image: NDArray[np.float32], run: Callable[[], object], runs: int, say: Callable[[float], None]
) -> NDArray[np.float64]:
    """``runs`` single runs on noise, written into ``image``, after a warm-up; ``say`` gets the share done."""
    image[:] = np.random.default_rng(0).normal(size=image.shape).astype(np.float32)
    times = np.empty(runs)
    for index in range(-_WARM_UP, runs):
        began = time.perf_counter_ns()
        run()
        if index >= 0:
            times[index] = (time.perf_counter_ns() - began) / 1e6
            say((index + 1) / runs)
    return times
