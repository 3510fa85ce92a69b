"""CUDA C → PTX with nvrtc, which comes with CUDA and as a Python package and needs neither nvcc nor a GPU."""

import ctypes
import ctypes.util
import importlib.util
from pathlib import Path
from typing import Any

from engines.errors import DeviceError

_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "libnvrtc.so.11.2")
_FOLDERS = ("/usr/local/cuda/lib64", "/usr/lib/aarch64-linux-gnu", "/usr/lib/x86_64-linux-gnu")
_PACKAGES = ("nvidia.cuda_nvrtc", "nvidia.cu13")


def compile_ptx(source: str, name: str, sm: str) -> bytes:
    """PTX for a compute capability such as ``8.7``; the driver makes machine code of it when it is loaded.

    Raises DeviceError: no nvrtc, or the compiler's own words.
    """
    nvrtc = _load()
    program = ctypes.c_void_p()
    _check(
        nvrtc,
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None),
        "nvrtcCreateProgram",
    )
    try:
        options = [f"--gpu-architecture=compute_{sm.replace('.', '')}".encode(), b"--fmad=true"]
        status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        if status:
            log = _text(nvrtc, program, "nvrtcGetProgramLog").decode(errors="replace").strip()
            raise DeviceError(f"{name}: nvrtc cannot compile it for sm {sm}: {log or _error(nvrtc, status)}")
        return _text(nvrtc, program, "nvrtcGetPTX")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def find_nvrtc() -> Path | str | None:
    """Where nvrtc is: a Python package of NVIDIA, CUDA's folder, or what the loader finds."""
    for package in _PACKAGES:
        spec = _spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            if found := _first(Path(folder) / "lib"):
                return found
    for place in _FOLDERS:
        if found := _first(Path(place)):
            return found
    return ctypes.util.find_library("nvrtc")


def _spec(package: str) -> Any:
    try:
        return importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None


def _first(folder: Path) -> Path | None:
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)


def _load() -> ctypes.CDLL:
    found = find_nvrtc()
    try:
        if found is None:
            raise OSError("not found")
        # It loads these by their name alone, which a Python package's folder is not searched for.
        for beside in sorted(Path(found).parent.glob("libnvrtc-builtins.so*")):
            ctypes.CDLL(str(beside))
        return ctypes.CDLL(str(found))
    except OSError as error:
        raise DeviceError(
            f"nvrtc: {error}; expected CUDA's run-time compiler: it comes with JetPack (cuda-nvrtc) and with "
            "pip install nvidia-cuda-nvrtc-cu12"
        ) from error


def _check(nvrtc: ctypes.CDLL, status: int, function: str) -> None:
    if status:
        raise DeviceError(f"{function}: {_error(nvrtc, status)}")


def _error(nvrtc: ctypes.CDLL, status: int) -> str:
    nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
    return str((nvrtc.nvrtcGetErrorString(status) or b"unknown").decode())


def _text(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, function: str) -> bytes:
    size = ctypes.c_size_t()
    _check(nvrtc, getattr(nvrtc, function + "Size")(program, ctypes.byref(size)), function)
    buffer = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, function)(program, buffer), function)
    return buffer.raw.rstrip(b"\x00")
