"""Dark and flat-field maps: made from frames, kept with hash and camera, given to the native preprocess."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import _core
from edge.errors import CameraError
from engines.whole_file import write_whole

DARK_UNIT, GAIN_UNIT = 256, 16384
"""Of the map's numbers; see edge/core/flat_field.hpp."""
LARGEST_GAIN = 65535 / GAIN_UNIT
LEAST_SIGNAL = 20.0
"""Grey levels above dark: fainter flat frames are mostly noise."""
BRIGHTEST = 250.0
MOST_DEAD = 0.001
"""Share of samples that may lie outside the range of gains: they keep the nearest one."""


@dataclass(frozen=True)
class FlatFieldMap:
    """``dark`` in 1/256 grey levels, ``gain`` in 1/16384; uint16, height × width (× bytes per pixel)."""

    dark: NDArray[np.uint16]
    gain: NDArray[np.uint16]
    camera: str
    """Which device the map belongs to; empty: not told."""

    @property
    def sha256(self) -> str:
        """Over sizes, both maps and the camera."""
        digest = hashlib.sha256(f"{self.dark.shape} {self.camera}".encode())
        digest.update(self.dark.tobytes())
        digest.update(self.gain.tobytes())
        return digest.hexdigest()

    def native(self) -> _core.FlatField:
        """As the preprocess takes it."""
        return _core.FlatField(dark=self.dark, gain=self.gain)

    def save(self, path: Path) -> None:
        """Writes NPZ, whole or not at all. Raises CameraError."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, dark=self.dark, gain=self.gain, camera=self.camera, sha256=self.sha256)
        try:
            write_whole(path, buffer.getvalue())
        except OSError as error:
            raise CameraError(f"{path}: the map cannot be written: {error.strerror}") from error

    def export_png(self, path: Path) -> None:
        """Beside the map: two 16-bit PNG, ``.dark.png`` (1/256 grey level) and ``.gain.png`` (1/16384), for people and
        other programs. Raises CameraError."""
        for name, values in (("dark", self.dark), ("gain", self.gain)):
            picture = path.with_suffix(f".{name}.png")
            try:
                write_whole(picture, cv2.imencode(".png", values)[1].tobytes())
            except OSError as error:
                raise CameraError(f"{picture}: cannot be written: {error.strerror}") from error


def load_map(path: Path, camera: str | None = None) -> FlatFieldMap:
    """Raises CameraError: not there, damaged, or made for another ``camera``."""
    try:
        with np.load(path, allow_pickle=False) as data:
            loaded = FlatFieldMap(data["dark"], data["gain"], str(data["camera"]))
            said = str(data["sha256"])
    except (OSError, ValueError, KeyError) as error:
        raise CameraError(
            f"{path}: not a flat-field map ({error}); expected the NPZ file that `edge camera flatfield` writes"
        ) from error
    if loaded.dark.dtype != np.uint16 or loaded.gain.dtype != np.uint16 or loaded.sha256 != said:
        raise CameraError(f"{path}: the map does not match its own hash; make it anew: edge camera flatfield")
    if camera and loaded.camera and camera != loaded.camera:
        raise CameraError(
            f"{path}: made for camera {loaded.camera}, the line has {camera}; make one for it: edge camera flatfield"
        )
    return loaded


def make_map(
    dark: Sequence[NDArray[np.uint8]], flat: Sequence[NDArray[np.uint8]], *, mosaic: bool, camera: str = ""
) -> FlatFieldMap:
    """From frames with the lens covered and frames of an even, grey target; the mean level of each colour is kept.

    Raises CameraError when the frames differ in size, or the flat ones are too dark, clipped or too uneven.
    """
    shapes = {frame.shape for frame in (*dark, *flat)}
    if len(shapes) != 1 or not dark or not flat:
        raise CameraError(
            f"flat field: frames of sizes {sorted(shapes)}; expected dark and flat frames of one size"
        )
    dark_mean, flat_mean = (np.mean(np.stack(frames), axis=0, dtype=np.float64) for frames in (dark, flat))
    level = float(np.median(flat_mean))
    if level > BRIGHTEST or level - float(np.median(dark_mean)) < LEAST_SIGNAL:
        raise CameraError(
            f"flat field: the flat frames are at grey level {level:.0f}, the dark ones at {np.median(dark_mean):.0f}; "
            f"expected flat ones at least {LEAST_SIGNAL:.0f} above and below {BRIGHTEST:.0f}: change exposure or light"
        )
    signal = np.maximum(flat_mean - dark_mean, 1e-3)
    gain = _wanted(signal, mosaic=mosaic) / signal
    dead = float(np.mean((gain > LARGEST_GAIN) | (gain < 0.25)))
    if dead > MOST_DEAD:
        raise CameraError(
            f"flat field: {dead:.2%} of the samples need a gain outside 0.25 to {LARGEST_GAIN:.1f}, at most "
            f"{MOST_DEAD:.1%} expected; is the target even, fills it the frame, is the lens clean?"
        )
    return FlatFieldMap(
        np.rint(np.clip(dark_mean * DARK_UNIT, 0, 65535)).astype(np.uint16),
        np.rint(np.clip(gain, 0.25, LARGEST_GAIN) * GAIN_UNIT).astype(np.uint16),
        camera,
    )


def _wanted(signal: NDArray[np.float64], *, mosaic: bool) -> NDArray[np.float64]:
    """The mean of each colour: the correction changes evenness, not white balance."""
    wanted = np.empty_like(signal)
    if signal.ndim == 3:
        wanted[:] = signal.mean(axis=(0, 1))
        return wanted
    step = 2 if mosaic else 1
    for y in range(step):
        for x in range(step):
            wanted[y::step, x::step] = signal[y::step, x::step].mean()
    return wanted
