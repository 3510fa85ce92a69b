"""Builds the native core ``edge._core`` (C++17, pybind11); everything else is in pyproject.toml."""

import os
import shutil
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension, build_ext
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

CORE = Path("edge/core")
PACKAGES = ("edge", "engines", "calibration", "tools")


class BuildCore(build_ext):
    """Says which system package is missing instead of a compiler trace."""

    def run(self) -> None:
        """Checks for a C++ compiler, then builds."""
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler.split()[0]) is None:
            raise SystemExit(
                f"edge: no C++ compiler: '{compiler}' is not on the PATH. "
                "Install it (Debian/Ubuntu/JetPack: apt-get install g++) or set CXX, then run this again."
            )
        super().run()


class BuildPython(build_py):
    """Takes examples/ and systemd/ along into the installed package; a checkout uses its own."""

    def run(self) -> None:
        """Builds, then copies."""
        super().run()
        if not self.editable_mode:
            for path in (*Path("examples").glob("*.yaml"), *Path("systemd").glob("*.*")):
                self.copy_file(str(path), str(self._in_package(path)))

    def _in_package(self, path: Path) -> Path:
        folder = Path(self.build_lib) / "edge" / path.parent
        folder.mkdir(parents=True, exist_ok=True)
        return folder / path.name


core = Pybind11Extension(
    "edge._core",
    sorted(str(path) for path in CORE.glob("*.cpp")),
    include_dirs=[str(CORE)],
    depends=sorted(str(path) for path in (*CORE.glob("*.hpp"), *CORE.glob("*.cuh"))),
    cxx_std=17,
    extra_compile_args=["-O3", "-Wall", "-Wextra", "-fno-math-errno", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-lrt", "-ldl"],
)

setup(
    packages=find_packages(include=[f"{name}{end}" for name in PACKAGES for end in ("", ".*")]),
    include_package_data=False,
    package_data={
        "edge": ["_core.pyi", "py.typed", "core/*.cuh"],
        "engines": ["models/*.onnx", "models/*.yaml", "models/*.md", "recipes/*.yaml"],
    },
    ext_modules=[core],
    cmdclass={"build_ext": BuildCore, "build_py": BuildPython},
)
