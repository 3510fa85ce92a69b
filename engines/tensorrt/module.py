"""The TensorRT module itself: imported late, and only where a driver answers."""

import importlib
import re
from typing import Any

from engines.errors import BuildError
from engines.tensorrt.driver import Device, find_device

_OLDEST = (8, 5)


def load_tensorrt() -> tuple[Any, Device]:
    """The module and the GPU it will use.

    The driver is asked first: without one TensorRT's own constructors can end the process. Raises DeviceError: no
    driver; BuildError: TensorRT missing or too old.
    """
    device = find_device()
    try:
        module = importlib.import_module("tensorrt")
    except ImportError as error:
        raise BuildError(
            f"tensorrt cannot be imported ({error}); JetPack brings it (apt install python3-libnvinfer, and a virtual "
            "environment with --system-site-packages), elsewhere: pip install tensorrt"
        ) from error
    require(module)
    return module, device


def require(module: Any) -> None:
    """Raises BuildError for a TensorRT that is older than what we speak."""
    if version_of(module)[:2] < _OLDEST:
        raise BuildError(
            f"TensorRT {module.__version__}: expected {'.'.join(map(str, _OLDEST))} or newer; install a newer JetPack"
        )


def version_of(module: Any) -> tuple[int, ...]:
    """``10.13.3.9`` → (10, 13, 3, 9)."""
    return tuple(int(number) for number in re.findall(r"\d+", str(module.__version__))[:4])


def cache_version(module: Any) -> str:
    """The digits in the first line of a calibration cache: 8502 for 8.5.2, 100300 for 10.3.0."""
    major, minor, patch = (*version_of(module), 0, 0)[:3]
    return f"{major}{minor:02d}{patch:02d}" if major >= 10 else f"{major}{minor}{patch:02d}"
