"""The legacy INT8 calibrator of TensorRT up to 10: hands over our own cache and never a picture."""

from pathlib import Path
from typing import Any

from engines.errors import BuildError
from engines.scales import parse_cache


def has_calibrators(trt: Any) -> bool:
    """TensorRT 11 has none."""
    return hasattr(trt, "IInt8EntropyCalibrator2") and hasattr(trt.IBuilderConfig, "int8_calibrator")


def make_calibrator(trt: Any, cache: bytes, where: str = "cache") -> Any:
    """An ``IInt8EntropyCalibrator2`` that answers with ``cache``.

    Raises CalibrationError: the cache is damaged; BuildError: this TensorRT has no calibrators.
    """
    if not has_calibrators(trt):
        raise BuildError(
            f"TensorRT {trt.__version__} has no calibrators; expected a graph with Q/DQ nodes: build the artifact of "
            "'edge engines calibrate' instead of a float graph with a cache"
        )
    parse_cache(cache.decode(errors="replace"), where)

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]  # the base exists only at run time
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)
            self.rejected = False
            """TensorRT asked for pictures: it did not take the cache."""

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> list[int] | None:
            self.rejected = True
            return None

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, cache: Any) -> None:
            """Ours is the one that counts."""

    return Calibrator()


def read_cache(path: Path, version: str) -> bytes:
    """The cache with the first line that this TensorRT expects; the scales are the same for all of them."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(
            f"{path}: cannot be read ({error}); write it with 'edge engines calibrate'"
        ) from error
    parse_cache(text, str(path))
    body = text.split("\n", 1)[1]
    return f"TRT-{version}-EntropyCalibration2\n{body}".encode()
