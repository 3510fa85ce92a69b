"""Changeovers asked for by the twin PLC while parts pass: ``python -m benchmarks.changeover [--changeovers 60]``.

Two recipes, signed into a store of their own: the demo's detector and the plain gate, each with the classifier. Prints
one JSON object: the PLC's time from the scan that asks to the answer, parts without a verdict or judged by the wrong
recipe, and overruns, beside those of the same parts without a change.
"""

import argparse
import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edge._core import Reason
from edge.config import LineConfig, example_path, load_line
from edge.inspection.settings import EngineSettings
from edge.line import Line, RunOptions
from edge.recipes.make import bundle_files
from edge.recipes.store import RecipeStore
from edge.twin import TwinRequest
from engines.store.keys import KeyRing, key_folder

FIRST_S, PART_S = 1.0, 0.0667
"""The first request after the belt's start; 15 parts a second at 1.2 m/s."""
SHORTEST_S, LONGEST_S = 0.25, 0.75
JUST_AFTER_NS = 150_000_000
"""Two or three parts."""
LATE = {Reason.OVERRUN, Reason.NO_TIME, Reason.NO_VERDICT}


def recipes(folder: Path) -> LineConfig:
    """The demo line with two stored recipes, 1 and 2; what it makes it leaves in ``folder``."""
    os.environ |= {"EDGE_RECIPES": str(folder / "recipes"), "EDGE_KEYS": str(folder / "keys")}
    KeyRing(key_folder()).create()
    store, demo = RecipeStore(), load_line(example_path("demo.yaml"))
    plain = load_line(example_path("replay.yaml"))
    second = demo.model_copy(
        update={
            "engines": EngineSettings(gate="shipped:gate", classifier="shipped:classifier"),
            **{
                name: getattr(plain, name) for name in ("routing", "scores", "retest", "rules", "certificate")
            },
        }
    )
    ids = {}
    for number, line in enumerate((demo, second), 1):
        engines, files = bundle_files(line)
        ids[number] = store.make(f"product-{number}", engines, files, "benchmark").id
        store.activate(ids[number], uncertified=True)
    return demo.model_copy(update={"recipes": ids, "name": f"changeover-{os.getpid()}"})


def run(config: LineConfig, parts: int, plan: str, seed: int) -> tuple[list[Any], list[dict[str, int]]]:
    """Records of all parts, and what the PLC noted."""
    records: list[Any] = []
    request = TwinRequest(parts=parts, seed=seed, changeovers=plan)
    options = RunOptions(twin=request, on_records=records.extend)
    with Line(config, options, print) as line:
        line.run(lambda _: None)
        twin = line.running.twin
        assert twin is not None
        return records, twin.changeovers() if plan else []


def judged_wrong(records: list[Any], done: list[dict[str, int]], before: int = 0) -> int:
    """Parts whose recipe is none of those that were wanted or active, as the PLC saw it, when they were triggered."""
    wrong = 0
    for record in records:
        allowed, last = set(), before
        for change in done:
            if not change["active_ns"] or int(record["triggered_ns"]) < change["asked_ns"]:
                break
            allowed = {last} if int(record["triggered_ns"]) < change["active_ns"] else set()
            allowed.add(change["number"])
            last = change["number"]
        wrong += int(record["recipe"]) not in (allowed or {last})
    return wrong


def measure(changeovers: int, seed: int) -> dict[str, Any]:
    """The figures; the run without a change comes first."""
    chance = random.Random(seed)
    times = [FIRST_S]
    for _ in range(changeovers - 1):
        times.append(times[-1] + chance.uniform(SHORTEST_S, LONGEST_S))
    plan = ",".join(f"{at:.4f}:{1 + index % 2}" for index, at in enumerate(times))
    parts = int((times[-1] + 1.0) / PART_S)
    with tempfile.TemporaryDirectory() as folder:
        config = recipes(Path(folder))
        quiet, _ = run(config, parts, "", seed)
        records, done = run(config, parts, plan, seed)
    ms = [(change["active_ns"] - change["asked_ns"]) / 1e6 for change in done if change["active_ns"]]
    by_recipe = {int(number): 0 for number in sorted({int(record["recipe"]) for record in records})}
    for record in records:
        by_recipe[int(record["recipe"])] += 1
    return {
        "changeovers": len(done),
        "answered": len(ms),
        "asked_to_active_ms": {
            **{f"p{q}": round(float(np.percentile(ms, q)), 1) for q in (50, 99)},
            "max": round(max(ms), 1),
        },
        "parts": parts,
        "parts_without_verdict": parts - len({int(record["part_id"]) for record in records}),
        "parts_twice": len(records) - len({int(record["part_id"]) for record in records}),
        "parts_by_recipe": by_recipe,
        "parts_judged_by_another_recipe": judged_wrong(records, done),
        "late_share_just_after_a_change": _late_share(records, done, after=True),
        "late_share_otherwise": _late_share(records, done, after=False),
        "overruns": _overruns(records),
        "overruns_without_changes": _overruns(quiet),
    }


def _overruns(records: list[Any]) -> int:
    return sum(Reason(int(record["final_reason"])) in LATE for record in records)


def _late_share(records: list[Any], done: list[dict[str, int]], *, after: bool) -> float:
    """What the changes cost: of parts triggered from a request to ``JUST_AFTER_NS`` after its answer, and of others."""
    spans = [(change["asked_ns"], change["active_ns"] + JUST_AFTER_NS) for change in done]
    chosen = [
        record
        for record in records
        if any(begin <= int(record["triggered_ns"]) <= end for begin, end in spans) is after
    ]
    return round(_overruns(chosen) / max(1, len(chosen)), 3)


def main() -> None:
    """One run of each kind; exit code 1: a part without verdict, or one judged by another recipe."""
    parser = argparse.ArgumentParser(description="changeovers under load")
    parser.add_argument("--changeovers", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.changeovers, options.seed)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    wrong = ("parts_without_verdict", "parts_twice", "parts_judged_by_another_recipe")
    raise SystemExit(int(any(found[key] for key in wrong) or found["answered"] < found["changeovers"]))


if __name__ == "__main__":
    main()
