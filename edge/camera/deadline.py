"""When a camera that reports nothing counts as lost: a pulled cable shows only as frames that do not come."""

LOST_AFTER_FRAMES = 3
"""So many triggers in a row whose frame did not come: fewer are single frames that went missing."""


class FrameDeadline:
    """Triggers without frames, or silence in free run. CLOCK_MONOTONIC ns."""

    def __init__(self, *, frame_timeout_ms: float, silence_limit_ms: float | None) -> None:
        self._timeout_ns = round(frame_timeout_ms * 1e6)
        self._silence_ns = None if silence_limit_ms is None else round(silence_limit_ms * 1e6)
        self._waiting: list[int] = []
        self._last_ns = 0

    def opened(self, now_ns: int) -> None:
        """A new connection owes nothing yet."""
        self._waiting.clear()
        self._last_ns = now_ns

    def trigger(self, now_ns: int) -> None:
        """A frame is due from now on."""
        if len(self._waiting) < LOST_AFTER_FRAMES:
            self._waiting.append(now_ns)

    def frame(self, now_ns: int) -> None:
        """A frame has come, whatever its status: the camera is there."""
        self._waiting.clear()
        self._last_ns = now_ns

    def lost(self, now_ns: int) -> str | None:
        """Why the camera counts as lost; None: it does not."""
        if len(self._waiting) == LOST_AFTER_FRAMES and now_ns - self._waiting[-1] > self._timeout_ns:
            return f"no frame for {LOST_AFTER_FRAMES} triggers in a row; is the camera plugged in and lit?"
        if self._silence_ns is not None and now_ns - self._last_ns > self._silence_ns:
            return (
                f"no frame for {(now_ns - self._last_ns) / 1e6:.0f} ms in free run; is the camera plugged in, or is "
                "camera.silence_limit_ms shorter than its frame period?"
            )
        return None
