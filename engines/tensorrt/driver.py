"""Is there a GPU, and which? Asked through the driver itself, because TensorRT can crash where there is none."""

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.errors import DeviceError

LIBRARY = "libcuda.so.1"
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_JETPACK_FILE = Path("/etc/nv_tegra_release")
# CUdevice_attribute in cuda.h: part of the driver's ABI, the same in every release.
_COMPUTE_MAJOR, _COMPUTE_MINOR, _CAN_MAP_HOST, _INTEGRATED = 75, 76, 19, 18
_MEANINGS = {
    100: "the driver finds no GPU",
    3: "the driver is being shut down",
    35: "the driver is older than this CUDA",
    803: "kernel module and libcuda differ: restart the machine",
    804: "this GPU does not support forward compatibility: install the driver's own libcuda",
    999: "unknown error: the kernel module is not loaded, or /dev/nvidia* is not visible here",
}


@dataclass(frozen=True)
class Device:
    """One GPU as the driver names it. ``sm``: compute capability such as ``8.7``."""

    name: str
    sm: str
    driver: str
    """Version of the kernel driver; where it cannot be read, the CUDA version that libcuda speaks."""
    cuda: str
    memory_mib: int
    integrated: bool
    """CPU and GPU share their memory (Jetson): mapped memory costs no copy."""
    jetpack: str = ""
    """L4T release such as ``R36.4.3``; empty on other machines."""

    def describe(self) -> str:
        """One line for people."""
        jetpack = f", L4T {self.jetpack}" if self.jetpack else ""
        return f"{self.name} (sm {self.sm}, {self.memory_mib} MiB, driver {self.driver}, CUDA {self.cuda}{jetpack})"


def find_device(ordinal: int = 0, library: str = LIBRARY) -> Device:
    """Asks the driver. Raises DeviceError: no libcuda, no GPU, no such ordinal."""
    cuda = _load(library)
    _call(cuda, "cuInit", ctypes.c_uint(0))
    version, count = ctypes.c_int(), ctypes.c_int()
    _call(cuda, "cuDriverGetVersion", ctypes.byref(version))
    _call(cuda, "cuDeviceGetCount", ctypes.byref(count))
    if ordinal >= count.value:
        raise DeviceError(
            f"GPU {ordinal}: the driver knows {count.value}; expected 0 to {count.value - 1}; "
            "see CUDA_VISIBLE_DEVICES"
        )
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
    _call(cuda, "cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
    _call(cuda, "cuDeviceGetName", name, ctypes.c_int(256), device)
    _call(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    number = {
        key: _attribute(cuda, key, device)
        for key in (_COMPUTE_MAJOR, _COMPUTE_MINOR, _CAN_MAP_HOST, _INTEGRATED)
    }
    if not number[_CAN_MAP_HOST]:
        raise DeviceError(
            f"{name.value.decode()}: cannot map host memory; expected a GPU that can; every Jetson and every "
            "data-centre GPU does"
        )
    cuda_text = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Device(
        name=name.value.decode(),
        sm=f"{number[_COMPUTE_MAJOR]}.{number[_COMPUTE_MINOR]}",
        driver=driver_version(_text(_DRIVER_FILE)) or f"CUDA {cuda_text}",
        cuda=cuda_text,
        memory_mib=memory.value >> 20,
        integrated=bool(number[_INTEGRATED]),
        jetpack=jetpack_release(_text(_JETPACK_FILE)),
    )


def driver_version(text: str) -> str:
    """``NVRM version: … Module  560.35.03  …`` → ``560.35.03``."""
    match = re.search(r"NVRM version:.*?\b(\d+\.\d+(?:\.\d+)?)\b", text)
    return match[1] if match else ""


def jetpack_release(text: str) -> str:
    """``# R36 (release), REVISION: 4.3, …`` → ``R36.4.3``."""
    match = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return f"R{match[1]}.{match[2]}" if match else ""


def _load(library: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(library)
    except OSError as error:
        raise DeviceError(
            f"{library}: cannot be loaded ({error}); expected NVIDIA's driver; install it (JetPack brings it; in a "
            "container: --gpus all), or use the ONNX Runtime engines"
        ) from error


def _call(cuda: ctypes.CDLL, function: str, *arguments: Any) -> None:
    try:
        status = int(getattr(cuda, function)(*arguments))
    except AttributeError as error:
        raise DeviceError(
            f"{cuda._name}: has no {function}; expected NVIDIA's driver library; what is installed is something else"
        ) from error
    if status:
        meaning = _MEANINGS.get(status, "see CUresult in cuda.h")
        raise DeviceError(
            f"{function}: error {status} ({meaning}); expected a working driver: check nvidia-smi"
        )


def _attribute(cuda: ctypes.CDLL, attribute: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(attribute), device)
    return value.value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
