"""Builds the native core ``edge._core`` (C++17, pybind11); everything else is in pyproject.toml."""

import os
import shutil
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension, build_ext
from setuptools import setup

CORE = Path("edge/core")


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


core = Pybind11Extension(
    "edge._core",
    sorted(str(path) for path in CORE.glob("*.cpp")),
    include_dirs=[str(CORE)],
    depends=sorted(str(path) for path in CORE.glob("*.hpp")),
    cxx_std=17,
    extra_compile_args=["-O3", "-Wall", "-Wextra", "-fno-math-errno", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-lrt"],
)

setup(
    packages=[
        *("edge", "edge.camera", "edge.inspection", "edge.conveyor", "edge.plc"),
        *("edge.records", "edge.report", "edge.service", "edge.examples"),
        *("engines", "calibration", "tools", "tools.twin", "tools.calibrate", "tools.evaluate"),
    ],
    package_dir={"edge.examples": "examples"},
    package_data={
        "edge": ["_core.pyi", "py.typed"],
        "edge.examples": ["*.yaml"],
        "engines": ["models/*.onnx", "models/*.yaml", "models/*.md", "recipes/*.yaml"],
    },
    ext_modules=[core],
    cmdclass={"build_ext": BuildCore},
)
