"""What the twin's processes share: one mapped file with the belt and every part on it.

It survives a kill of any of them, so that a restarted PLC still knows which part fell where.
"""

import math
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import TwinError
from tools.twin.conveyor import SpeedProfile

if TYPE_CHECKING:
    from tools.twin.parts import PartSpec

MAGIC = b"edgetwin"
VERSION = 1
NEVER_NS = 2**63 - 1

BIN_UNKNOWN, BIN_GOOD, BIN_REJECT = 0, 1, 2

_HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "u4"),
        ("parts", "u4"),
        ("start_ns", "i8"),
        ("counts_per_mm", "f8"),
        ("camera_to_ejector_mm", "f8"),
        ("profile", "S472"),
    ]
)

PART_DTYPE = np.dtype(
    [
        ("class_id", "u1"),
        ("severity", "f4"),
        ("position_mm", "f8"),
        ("trigger_ns", "i8"),
        ("crossing_ns", "i8"),
        ("verdict", "u1"),
        ("verdict_count", "u2"),
        ("verdict_ns", "i8"),
        ("late", "u1"),
        ("bin", "u1"),
    ],
    align=True,
)
"""One part; its trigger id is its index + 1. The camera writes ``trigger_ns``, the PLC what follows."""


class World:
    """The mapped file. Times are CLOCK_MONOTONIC ns; positions are mm travelled since the belt started."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self._header: NDArray[Any] = np.frombuffer(mapping, _HEADER, 1)
        self.parts: NDArray[Any] = np.frombuffer(
            mapping, PART_DTYPE, int(self._header["parts"][0]), offset=_HEADER.itemsize
        )
        """Every part in belt order, PART_DTYPE, in place: what is written here the other processes see."""
        self.counts_per_mm = float(self._header["counts_per_mm"][0])
        self.camera_to_ejector_mm = float(self._header["camera_to_ejector_mm"][0])
        self.profile_text = bytes(self._header["profile"][0]).decode()
        self.profile = SpeedProfile.parse(self.profile_text)

    @classmethod
    def create(
        cls,
        path: Path,
        specs: "Sequence[PartSpec]",
        *,
        profile: str = "1.2",
        counts_per_mm: float = 10.0,
        camera_to_ejector_mm: float = 400.0,
    ) -> "World":
        """Writes a world whose belt stands still. Raises TwinError for a bad profile or an existing file."""
        SpeedProfile.parse(profile)
        header = np.zeros(1, _HEADER)
        header[0] = (MAGIC, VERSION, len(specs), 0, counts_per_mm, camera_to_ejector_mm, profile.encode())
        if bytes(header["profile"][0]).decode() != profile:
            raise TwinError(
                f"a speed profile of {len(profile)} characters; at most {_HEADER['profile'].itemsize} fit"
            )
        parts = np.zeros(len(specs), PART_DTYPE)
        parts["class_id"] = [spec.class_id for spec in specs]
        parts["severity"] = [spec.severity for spec in specs]
        parts["position_mm"] = [spec.position_mm for spec in specs]
        try:
            with path.open("xb") as file:
                file.write(header.tobytes() + parts.tobytes())
        except FileExistsError:
            raise TwinError(
                f"{path}: exists already; a world belongs to one run, remove it or choose another"
            ) from None
        except OSError as error:
            raise TwinError(f"{path}: the world cannot be written: {error.strerror}") from error
        return cls.attach(path)

    @classmethod
    def attach(cls, path: Path) -> "World":
        """Maps an existing world. Raises TwinError when it is not there, not a world, or cut short."""
        try:
            with path.open("r+b") as file:
                size = file.seek(0, 2)
                if size < _HEADER.itemsize:
                    raise TwinError(
                        f"{path}: {size} bytes; expected a twin world of at least {_HEADER.itemsize}"
                    )
                mapping = mmap.mmap(file.fileno(), 0)
        except OSError as error:
            raise TwinError(f"{path}: the world cannot be read: {error.strerror}") from error
        header = np.frombuffer(mapping, _HEADER, 1)[0]
        if header["magic"] != MAGIC or header["version"] != VERSION:
            raise TwinError(
                f"{path}: found {bytes(header['magic'])!r} version {header['version']}; "
                f"expected a twin world, {MAGIC!r} version {VERSION}"
            )
        expected = _HEADER.itemsize + int(header["parts"]) * PART_DTYPE.itemsize
        if size != expected:
            raise TwinError(f"{path}: {size} bytes; expected {expected} for {header['parts']} parts")
        return cls(mapping)

    @property
    def start_ns(self) -> int:
        """When the belt starts or started; 0 while nobody has started it."""
        return int(self._header["start_ns"][0])

    def start(self, now_ns: int) -> None:
        """Starts the belt at a time (which may lie ahead); a belt that was started before keeps its time."""
        if not self.start_ns:
            self._header["start_ns"] = now_ns

    @property
    def running(self) -> bool:
        """True once the belt was given a start."""
        return self.start_ns != 0

    def position_mm(self, now_ns: int) -> float:
        """Travel of the belt; 0 before its start."""
        return self.profile.position_mm(self._elapsed_s(now_ns))

    def speed_m_per_s(self, now_ns: int) -> float:
        """Speed of the belt; 0 before its start."""
        elapsed_s = self._elapsed_s(now_ns)
        return self.profile.speed_m_per_s(elapsed_s) if elapsed_s > 0 else 0.0

    def encoder_count(self, now_ns: int) -> int:
        """What the encoder on the belt shows."""
        return int(self.position_mm(now_ns) * self.counts_per_mm)

    def time_at_ns(self, position_mm: float) -> int:
        """When the belt is, was or will be there; NEVER_NS while it is not started or if it stops before."""
        elapsed_s = self.profile.time_at_s(position_mm)
        if not self.running or math.isinf(elapsed_s):
            return NEVER_NS
        return self.start_ns + round(elapsed_s * 1e9)

    def _elapsed_s(self, now_ns: int) -> float:
        start_ns = self.start_ns
        return (now_ns - start_ns) / 1e9 if start_ns else 0.0
