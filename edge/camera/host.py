"""The camera process: ``python -m edge.camera.host --region PATH --config FILE.json``."""

import argparse
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from edge._core import CoreError, Region
from edge.camera.base import Camera
from edge.camera.kinds import make_camera
from edge.camera.pace import Pace
from edge.camera.runner import Runner
from edge.camera.settings import CameraConfig, FileCamera
from edge.errors import CameraError, EdgeError, RegionError

log = logging.getLogger("edge.camera")


def load_config(path: Path) -> CameraConfig:
    """Raises CameraError when the file is not there or is no camera configuration."""
    try:
        return CameraConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise CameraError(f"{path}: not a configuration of the camera process: {error}") from error


def main(argv: list[str] | None = None) -> int:
    """Runs until the line stops or SIGTERM; returns the exit status."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="camera: %(message)s", stream=sys.stderr)
    try:
        config = load_config(arguments.config)
        region = _attach(arguments.region)
        camera = make_camera(config.camera)
        _write_labels(camera, config.labels_path)
        _end_on_signals(region)
        _prepare_process(config)
        _runner(region, camera, config).run()
    except EdgeError as error:
        log.error("%s", error)
        return 2
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edge.camera.host", description=__doc__)
    parser.add_argument("--region", required=True, help="path of the line's shared-memory region")
    parser.add_argument("--config", required=True, type=Path, help="JSON file with a CameraConfig")
    return parser.parse_args(argv)


def _attach(path: str) -> Region:
    try:
        return Region.attach(path)
    except CoreError as error:
        raise RegionError(f"the camera process cannot use the line's region: {error}") from error


def _runner(region: Region, camera: Camera, config: CameraConfig) -> Runner:
    pace = Pace(
        speed_m_per_s=config.speed_m_per_s, counts_per_mm=config.counts_per_mm, pitch_mm=camera.pitch_mm
    )
    wait = isinstance(config.camera, FileCamera) and config.camera.wait_for_ready
    return Runner(region, camera, pace, wait_for_ready=wait)


def _write_labels(camera: Camera, path: Path | None) -> None:
    labels = camera.labels()
    if labels is None or path is None:
        return
    try:
        labels.save(path)
    except OSError as error:
        # The report will lack the truth; the line itself needs no labels.
        log.warning("%s: the labels cannot be written: %s", path, error.strerror)


def _end_on_signals(region: Region) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        region.status.camera_ready = 0
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    # Ctrl-C reaches every process of the terminal; the supervisor decides when this one may go.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _prepare_process(config: CameraConfig) -> None:
    if config.cpus:
        try:
            os.sched_setaffinity(0, config.cpus)
        except OSError as error:
            log.warning("cannot run on the CPUs %s: %s", list(config.cpus), error.strerror)
    gc.collect()
    gc.freeze()
    # Cycles are not made here; a collection in mid-run costs milliseconds.
    gc.disable()


if __name__ == "__main__":
    sys.exit(main())
