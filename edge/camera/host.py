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
from edge.camera.auto_exposure import ExposureKeeper
from edge.camera.base import Belt, Camera
from edge.camera.deadline import FrameDeadline
from edge.camera.kinds import make_camera
from edge.camera.light import LightKeeper
from edge.camera.pace import Pace
from edge.camera.runner import Runner
from edge.camera.settings import AravisSettings, CameraConfig, FileCamera
from edge.errors import CameraError, CameraHungError, EdgeError, RegionError
from edge.service.notify import Notifier

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
        light = LightKeeper(config.camera.light) if config.camera.light else None
        exposure = _exposure(region, camera, config)
        keepers = [keeper for keeper in (light, exposure) if keeper is not None]
        try:
            for keeper in keepers:
                keeper.start()
            _runner(region, camera, config, light).run()
        finally:
            for keeper in keepers:
                keeper.stop()
    except CameraHungError as error:
        log.error("%s", error)
        _start_anew(sys.argv[1:] if argv is None else argv)
    except EdgeError as error:
        log.error("%s", error)
        return 2
    return 0


def _start_anew(argv: list[str]) -> None:
    """The same process with nothing left of what hung in it; it goes on after the parts that were shown."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.execv(sys.executable, [sys.executable, "-m", "edge.camera.host", *argv])  # noqa: S606  (our own program)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edge.camera.host", description=__doc__)
    parser.add_argument("--region", required=True, help="path of the line's shared-memory region")
    parser.add_argument("--config", required=True, type=Path, help="JSON file with a CameraConfig")
    return parser.parse_args(argv)


def _attach(path: str) -> Region:
    try:
        region = Region.attach(path)
    except CoreError as error:
        raise RegionError(f"the camera process cannot use the line's region: {error}") from error
    region.reclaim_slots()  # of a camera process before this one
    return region


def _runner(region: Region, camera: Camera, config: CameraConfig, light: LightKeeper | None) -> Runner:
    pace = Pace(
        speed_m_per_s=config.speed_m_per_s, counts_per_mm=config.counts_per_mm, pitch_mm=camera.pitch_mm
    )
    timeout_ns = round(config.camera.frame_timeout_ms * 1e6)
    camera.join(region, Belt(config.speed_m_per_s, config.counts_per_mm, timeout_ns))
    wait = isinstance(config.camera, FileCamera) and config.camera.wait_for_ready
    deadline = FrameDeadline(
        frame_timeout_ms=config.camera.frame_timeout_ms,
        silence_limit_ms=config.camera.silence_limit_ms if camera.free_running else None,
    )
    return Runner(
        region,
        camera,
        pace,
        deadline,
        wait_for_ready=wait,
        notifier=Notifier.from_environment(),
        lit=(lambda: light.ready) if light else lambda: True,
    )


def _exposure(region: Region, camera: Camera, config: CameraConfig) -> ExposureKeeper | None:
    settings = config.camera
    if not isinstance(settings, AravisSettings) or settings.auto_exposure is None:
        return None
    begin_us = settings.exposure_us or settings.auto_exposure.lowest_us
    return ExposureKeeper(settings.auto_exposure, region.status, begin_us, camera.set_exposure_us)


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
