"""TensorRT's log and progress, as objects that it calls back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Progress = Callable[[str, float], None]
"""Phase and its share done, 0 to 1."""
_KEPT = 200


@dataclass
class Messages:
    """What TensorRT complained about, newest last."""

    lines: list[str] = field(default_factory=list)

    @property
    def last_error(self) -> str:
        """The last complaint, or a word that there was none."""
        return self.lines[-1] if self.lines else "TensorRT gave no reason"

    @property
    def out_of_memory(self) -> bool:
        """Did a complaint speak of memory?"""
        text = "\n".join(self.lines).lower()
        return any(word in text for word in ("out of memory", "outofmemory", "cudaerrormemoryallocation"))

    def add(self, text: str) -> None:
        """Keeps the newest few."""
        self.lines.append(text)
        del self.lines[:-_KEPT]


def make_logger(trt: Any, messages: Messages) -> Any:
    """A logger that keeps warnings and errors; verbose text is dropped at the door."""
    severities = trt.ILogger.Severity
    kept = (severities.INTERNAL_ERROR, severities.ERROR, severities.WARNING)

    class Logger(trt.ILogger):  # type: ignore[misc]  # the base exists only at run time
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in kept:
                messages.add(msg)

    return Logger()


def make_monitor(trt: Any, progress: Progress, cancelled: Callable[[], bool]) -> Any | None:
    """A progress monitor, where the API has one (TensorRT 10 and later); else None."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the base exists only at run time
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            progress(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, (step + 1) / max(self._steps.get(phase_name, 1), 1))
            return not cancelled()

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)
            progress(phase_name, 1.0)

    return Monitor()
