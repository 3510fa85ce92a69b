"""The inspection process: loads the engines, starts the native loop, and then Python sleeps."""

import argparse
import gc
import signal
import sys
import threading
from pathlib import Path

from edge import _core
from edge.camera.flat_field import load_map
from edge.errors import EdgeError
from edge.inspection.engines import load_pair, slot_of
from edge.inspection.gpu import GpuFrames
from edge.inspection.native import SECOND_VIEWS, class_roles, routing_row, score_calibration
from edge.inspection.rules import native_rules
from edge.inspection.settings import InspectionConfig, RecipeConfig
from edge.service.notify import Notifier
from engines.loaded import LoadedEngine
from engines.manifest import EngineManifest

_POLL_S = 0.05
_WARM = {_core.LoopState.READY, _core.LoopState.HELD}
_FUSIONS = {"any_reject": _core.Fusion.ANY_REJECT, "majority": _core.Fusion.MAJORITY}


def loop_settings(config: InspectionConfig, manifest: EngineManifest) -> _core.LoopSettings:
    """Milliseconds, metres and names of the line file → nanoseconds, micrometres and indices of the loop."""
    settings = _core.LoopSettings()
    fill_recipe(settings, config, manifest)
    settings.budget_cap_ns = round(config.budget.cap_ms * 1e6)
    settings.window_um = round(config.budget.window_mm * 1e3)
    settings.max_speed_um_per_s = round(config.max_speed_m_per_s * 1e6)
    settings.frame_timeout_ns = round(config.frame_timeout_ms * 1e6)
    settings.ignore_deadlines = config.ignore_deadlines
    settings.frames_per_part = config.fusion.frames
    settings.fusion = _FUSIONS[config.fusion.rule]
    settings.keep_warm_ns = round(config.keep_warm_ms * 1e6)
    settings.anticipate = config.loop_cpu is not None
    settings.fifo_priority = config.priority
    settings.cpu = -1 if config.loop_cpu is None else config.loop_cpu
    return settings


def fill_recipe(settings: _core.RecipeSettings, recipe: RecipeConfig, manifest: EngineManifest) -> None:
    """What belongs to the product."""
    settings.number = recipe.number
    settings.min_mean = recipe.exposure.min_mean
    settings.max_mean = recipe.exposure.max_mean
    settings.max_dark_share = recipe.exposure.max_dark_share
    settings.max_bright_share = recipe.exposure.max_bright_share
    settings.min_sharpness = recipe.exposure.min_sharpness
    settings.max_frame_age_ns = round(recipe.exposure.max_age_ms * 1e6)
    settings.classes = class_roles(recipe.rules, manifest)
    settings.gate_scores = score_calibration(recipe.scores.gate)
    settings.classifier_scores = score_calibration(recipe.scores.classifier)
    settings.routing = [routing_row(step) for step in recipe.routing]
    settings.second_view = SECOND_VIEWS[recipe.retest.view]
    settings.brightness_wanted = recipe.retest.brightness_mean
    settings.rules, settings.zones = native_rules(recipe.rules, manifest.classes)
    settings.mm_per_pixel = recipe.rules.mm_per_pixel


def make_loop(
    region: _core.Region, records: _core.RecordRing, config: InspectionConfig
) -> tuple[_core.InspectionLoop, GpuFrames]:
    """The loop with every recipe that it may be asked for or have to go back to, loaded; the frames as a GPU sees them.

    Raises EngineError, ConfigError, CoreError.
    """
    flat_field = load_map(config.flat_field).native() if config.flat_field else None
    frames = GpuFrames(region)

    def load(recipe: RecipeConfig) -> tuple[LoadedEngine, _core.EngineSlot, _core.EngineSlot | None]:
        first, second = load_pair(recipe.gate, recipe.classifier, config.threads)
        slot = slot_of(second, recipe.roi, flat_field, frames) if second else None
        return first, slot_of(first, recipe.roi, flat_field, frames), slot

    engine, gate, classifier = load(config)
    loop = _core.InspectionLoop(region, records, loop_settings(config, engine.manifest), gate, classifier)
    standing_by = [recipe.earlier for recipe in (config, *config.recipes) if recipe.earlier]
    for earlier, recipes in ((False, config.recipes), (True, standing_by)):
        for recipe in recipes:
            engine, gate, classifier = load(recipe)
            settings = _core.RecipeSettings()
            fill_recipe(settings, recipe, engine.manifest)
            settings.earlier = earlier
            loop.add_recipe(settings, gate, classifier)
    return loop, frames


def inspect(region_path: str, records_path: str, config: InspectionConfig) -> None:
    """Runs the loop until the line stops or the process is told to end."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    region = _core.Region.attach(region_path)
    records = _core.RecordRing.attach(records_path)
    loop, frames = make_loop(region, records, config)
    # Nothing in this process makes cyclic garbage any more, and a collection would hold the GIL.
    gc.collect()
    gc.freeze()
    gc.disable()
    if config.priority:
        _core.lock_memory()  # where it is permitted: a page fault costs the loop more than a verdict may take
    notifier = Notifier.from_environment()
    loop.start()
    while loop.running and not region.status.stop and not ended.is_set():
        state = _core.LoopState(region.status.loop_state)
        if notifier.follow(region.status.loop_beat_ns, ready=state in _WARM):
            notifier.say(f"loop {state.name.lower()}, {region.status.parts_decided} parts decided")
        frames.follow(loop.frame_shape)
        ended.wait(_POLL_S)
    notifier.stopping()
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
