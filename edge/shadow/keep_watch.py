"""``edge calibrate watch``: after an activation, until the line ends; what leaves its range is taken back.

First in the running line, between two parts, then in the store from which the line starts next time.
"""

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from edge._core import Reason, Verdict
from edge.errors import ConfigError, EdgeError, RecordError
from edge.inspection.settings import RecipeConfig
from edge.recipes.store import RecipeStore
from edge.shadow.follow import JUDGED, Followed, said_by_line
from edge.shadow.report import ShadowReport
from edge.shadow.watch import CertifiedRange, Left, Watch
from engines.errors import EnginesError
from engines.give_way import give_way
from engines.manifest import load_manifest
from engines.store.folder import EngineStore
from engines.store.pair import roll_back_together
from engines.whole_file import write_whole

_BATCH = 1024
_LOOK_S = 0.05
_TELL_S = 60.0
_ANSWER_S = 5.0
"""The loop answers between two parts; one that is being restarted, when it is warm."""
TAKEN_BACK = 4


@dataclass(frozen=True)
class Watched:
    """One of the recipes of a line."""

    position: int
    """Its bit in the words of the rollback; 0: the line's own."""
    recipe: RecipeConfig

    def judged(self, record: np.void) -> bool:
        """Whether its engines have judged this part."""
        by = int(record["recipe"]) == self.recipe.number and not record["recipe_earlier"]
        return by and record["verdict"] != Verdict.NONE and Reason(int(record["reason"])) in JUDGED


def watch(options: argparse.Namespace) -> int:
    """0: the line ended within its range. 4: it left it, and what was active before is so again."""
    if not 0 < options.false_alarm < 0.5 or options.window < 20:
        raise ConfigError(
            f"--false-alarm {options.false_alarm:g} --window {options.window}: expected above 0 and below 0.5, and at "
            "least 20"
        )
    report = _read(options.shadow)
    line = Followed.attach(options.line)
    watched = _watched(line, report)
    if watched.recipe.earlier is None:
        print(
            "nothing stands by in this line (keep_earlier, or nothing was active before): should it leave its range, "
            "READY goes down until it is restarted",
            flush=True,
        )
    keeper = Watch(
        CertifiedRange(report, options.false_alarm), window=options.window, false_alarm=options.false_alarm
    )
    give_way(options.memory_mib, idle=options.priority == "idle")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    left = follow(line, watched, keeper, ended)
    if not left:
        print(f"within its range: {keeper.parts} parts, {keeper.looks} looks")
        return 0
    return _take_back(options, line, watched, left)


def follow(line: Followed, watched: Watched, keeper: Watch, ended: threading.Event) -> tuple[Left, ...]:
    """Until a share leaves its range, the line ends, or somebody asks."""
    reader = line.ring.reader_at(line.ring.head)
    told_s = time.monotonic()
    while not ended.is_set() and not line.over:
        records = reader.read(_BATCH)
        for record in records:
            if watched.judged(record):
                left = keeper.add(said_by_line(record, line.classes), float(record["brightness_mean"]))
                if left:
                    return left
        if time.monotonic() - told_s > _TELL_S:
            told_s = time.monotonic()
            print(f"… {keeper.parts} parts within the range, {reader.lost} lost", flush=True)
        if not len(records):
            ended.wait(_LOOK_S)
    return ()


def take_back_in(line: Followed, watched: Watched, limit_s: float = _ANSWER_S) -> str:
    """What became of it in the running line, in words."""
    status, bit = line.region.status, 1 << watched.position
    end_s = time.monotonic() + limit_s
    while not (status.rolled_back | status.rollback_refused) & bit:
        if line.over or time.monotonic() > end_s:
            return "no answer from the loop: stop the line"
        status.rollback_wanted |= bit
        line.region.ring_loop()
        time.sleep(_LOOK_S)
    if status.rolled_back & bit:
        return "taken back between two parts: the one before judges now"
    return "nothing could take its place: READY is down, restart the line"


def _take_back(options: argparse.Namespace, line: Followed, watched: Watched, left: Sequence[Left]) -> int:
    why = "; ".join(item.in_words() for item in left)
    print(f"ALARM: the line left its range: {why}", file=sys.stderr, flush=True)
    said = take_back_in(line, watched)
    print(f"recipe {watched.recipe.number}: {said}", file=sys.stderr, flush=True)
    alarm = {
        "line": options.line,
        "why": [item.in_words() for item in left],
        "recipe": watched.recipe.number,
        "running": said,
        "active": {},
        "trouble": "",
    }
    try:
        alarm["active"] = _take_back_in_store(options, watched.recipe, f"line left its range: {why}")
    except (EdgeError, EnginesError) as error:
        alarm["trouble"] = str(error)
    try:
        write_whole(options.alarm, json.dumps(alarm, indent=1) + "\n")
    except OSError as error:
        raise RecordError(
            f"{options.alarm}: the alarm cannot be written ({error.strerror}): {why}"
        ) from error
    if alarm["trouble"]:
        raise ConfigError(
            f"the next start of the line would not go back: {alarm['trouble']}; {said}; why: {why}"
        )
    for name, identity in alarm["active"].items():
        print(f"active again: {name} → {identity}, also at the next start")
    return TAKEN_BACK


def _take_back_in_store(options: argparse.Namespace, recipe: RecipeConfig, why: str) -> dict[str, str]:
    """Name → id that is active now. Raises EdgeError, EnginesError."""
    if options.engine:
        return roll_back_together(EngineStore(), options.engine, why)
    if not recipe.stored:
        return {}
    store, name = RecipeStore(), recipe.stored.rpartition("-")[0]
    if (active := store.active_id(name)) != recipe.stored:
        raise ConfigError(f"{active} was activated since the line started with {recipe.stored}; it stays")
    return {name: store.rollback(name, why=why).id}


def _read(path: Path) -> ShadowReport:
    try:
        return ShadowReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise ConfigError(
            f"{path}: not the report of a shadow run ({error}); expected shadow.json of 'edge calibrate shadow'"
        ) from error


def _watched(line: Followed, report: ShadowReport) -> Watched:
    """The recipe with the engines of the shadow run; of several the active one."""
    runs = [
        (Watched(position, recipe), _hashes(recipe))
        for position, recipe in enumerate((line.config, *line.config.recipes))
    ]
    found = [watched for watched, hashes in runs if hashes == report.candidate]
    if not found:
        raise ConfigError(
            f"the line runs {' or '.join(_short(hashes) for _, hashes in runs)}, the shadow run was of "
            f"{_short(report.candidate)}; expected the same: restart the line after the activation, or give the report "
            "of these engines"
        )
    active = line.region.status.recipe_active
    return next((watched for watched in found if watched.recipe.number == active), found[0])


def _hashes(recipe: RecipeConfig) -> dict[str, str]:
    paths = {"gate": recipe.gate, "classifier": recipe.classifier}
    return {role: load_manifest(path).sha256 for role, path in paths.items() if path is not None}


def _short(hashes: dict[str, str]) -> str:
    return ", ".join(f"{role} {digest[:12]}" for role, digest in sorted(hashes.items()))
