"""The kernel through NVIDIA's own compiler, where it is installed; it needs no GPU."""

import shutil
import subprocess
from pathlib import Path

import pytest

import edge
from engines.cuda import compile as compiler
from engines.errors import DeviceError

KERNEL = Path(edge.__file__).parent / "core" / "cuda_preprocess.cuh"
ARCHITECTURES = ("7.5", "8.0", "8.7", "9.0")  # T4, A100, Orin, H100


@pytest.mark.parametrize("sm", ARCHITECTURES)
def test_nvrtc_makes_ptx_of_the_kernel(sm: str) -> None:
    if compiler.find_nvrtc() is None:
        pytest.skip("nvrtc is not installed here: pip install nvidia-cuda-nvrtc-cu12")
    ptx = compiler.compile_ptx(KERNEL.read_text(), KERNEL.name, sm).decode()
    assert f".target sm_{sm.replace('.', '')}" in ptx
    assert ".entry edge_preprocess(" in ptx and ".entry edge_reset(" in ptx


def test_nvrtc_says_what_is_wrong() -> None:
    if compiler.find_nvrtc() is None:
        pytest.skip("nvrtc is not installed here: pip install nvidia-cuda-nvrtc-cu12")
    with pytest.raises(DeviceError, match=r'k\.cu\(1\): error: identifier "nothing" is undefined'):
        compiler.compile_ptx('extern "C" __global__ void k() { nothing(); }', "k.cu", "8.7")


@pytest.mark.parametrize("sm", ["75", "87", "90", "110"])
def test_nvcc_makes_machine_code_of_the_kernel(sm: str, tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed here: the CUDA toolkit has it")
    out = tmp_path / "k.cubin"
    command = [
        "nvcc",
        "-cubin",
        f"-arch=sm_{sm}",
        "-x",
        "cu",
        "-Werror",
        "all-warnings",
        str(KERNEL),
        "-o",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Unsupported gpu architecture" in done.stderr:
        pytest.skip(f"this nvcc does not know sm_{sm}")
    assert done.returncode == 0, done.stderr
    assert out.stat().st_size > 1000


def test_without_nvrtc_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "find_nvrtc", lambda: None)
    with pytest.raises(DeviceError, match="pip install nvidia-cuda-nvrtc-cu12"):
        compiler.compile_ptx("", "k.cu", "8.7")
