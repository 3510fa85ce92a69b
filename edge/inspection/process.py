"""The inspection process: loads the engines, starts the native loop, and then Python sleeps."""

import argparse
import gc
import signal
import sys
import threading
from pathlib import Path

from edge import _core
from edge.errors import EdgeError
from edge.inspection.engines import load_pair, slot_of
from edge.inspection.native import SECOND_VIEWS, class_roles, routing_row, score_calibration
from edge.inspection.rules import native_rules
from edge.inspection.settings import InspectionConfig
from engines.manifest import EngineManifest

_POLL_S = 0.05
_FUSIONS = {"any_reject": _core.Fusion.ANY_REJECT, "majority": _core.Fusion.MAJORITY}


def loop_settings(config: InspectionConfig, manifest: EngineManifest) -> _core.LoopSettings:
    """Milliseconds, metres and names of the line file → nanoseconds, micrometres and indices of the loop."""
    settings = _core.LoopSettings()
    settings.budget_cap_ns = round(config.budget.cap_ms * 1e6)
    settings.window_um = round(config.budget.window_mm * 1e3)
    settings.max_speed_um_per_s = round(config.max_speed_m_per_s * 1e6)
    settings.frame_timeout_ns = round(config.frame_timeout_ms * 1e6)
    settings.ignore_deadlines = config.ignore_deadlines
    settings.min_mean = config.exposure.min_mean
    settings.max_mean = config.exposure.max_mean
    settings.max_dark_share = config.exposure.max_dark_share
    settings.max_bright_share = config.exposure.max_bright_share
    settings.min_sharpness = config.exposure.min_sharpness
    settings.max_frame_age_ns = round(config.exposure.max_age_ms * 1e6)
    settings.classes = class_roles(config.rules, manifest)
    settings.gate_scores = score_calibration(config.scores.gate)
    settings.classifier_scores = score_calibration(config.scores.classifier)
    settings.routing = [routing_row(step) for step in config.routing]
    settings.second_view = SECOND_VIEWS[config.retest.view]
    settings.brightness_wanted = config.retest.brightness_mean
    settings.rules, settings.zones = native_rules(config.rules, manifest.classes)
    settings.mm_per_pixel = config.rules.mm_per_pixel
    settings.frames_per_part = config.fusion.frames
    settings.fusion = _FUSIONS[config.fusion.rule]
    settings.keep_warm_ns = round(config.keep_warm_ms * 1e6)
    settings.anticipate = config.loop_cpu is not None
    settings.fifo_priority = config.priority
    settings.cpu = -1 if config.loop_cpu is None else config.loop_cpu
    return settings


def inspect(region_path: str, records_path: str, config: InspectionConfig) -> None:
    """Runs the loop until the line stops or the process is told to end."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    region = _core.Region.attach(region_path)
    records = _core.RecordRing.attach(records_path)
    gate, classifier = load_pair(config.gate, config.classifier, config.threads)
    loop = _core.InspectionLoop(
        region,
        records,
        loop_settings(config, gate.manifest),
        slot_of(gate, config.roi),
        slot_of(classifier, config.roi) if classifier else None,
    )
    # Nothing in this process makes cyclic garbage any more, and a collection would hold the GIL.
    gc.collect()
    gc.freeze()
    gc.disable()
    if config.priority:
        _core.lock_memory()  # where it is permitted: a page fault costs the loop more than a verdict may take
    loop.start()
    while loop.running and not region.status.stop and not ended.is_set():
        ended.wait(_POLL_S)
    loop.stop()


def main() -> int:
    """Entry of ``python -m edge.inspection.process``."""
    parser = argparse.ArgumentParser(prog="edge.inspection.process", description=__doc__)
    parser.add_argument("--region", required=True)
    parser.add_argument("--records", required=True)
    parser.add_argument("--config", required=True, type=Path)
    arguments = parser.parse_args()
    try:
        config = InspectionConfig.model_validate_json(arguments.config.read_text(encoding="utf-8"))
        inspect(arguments.region, arguments.records, config)
    except (EdgeError, _core.CoreError) as error:
        print(f"inspection: {error}", file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
