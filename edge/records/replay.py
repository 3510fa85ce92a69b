"""``edge replay``: shows a recording to the line again and compares the verdicts."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.config import LineConfig
from edge.errors import RecordError
from edge.line import RunOptions
from edge.records.recorded import RecordedLine, judged_by
from edge.records.recording import part_fields
from edge.records.replay_diff import diff


def replay_recording(
    recording: Path, run: Callable[[LineConfig, RunOptions], object], say: Callable[[str], None]
) -> int:
    """Exit status: 0 when the line says of every part what it said when it was recorded. Raises RecordError."""
    recorded = RecordedLine.load(recording)
    judges = Judges.of(recorded)
    for problem in (*recorded.problems, *judges.problems):
        say(problem)
    replayed: list[dict[str, Any]] = []

    def keep(records: NDArray[np.void]) -> None:
        replayed.extend(part_fields(record) for record in records)

    # Judged without the clock: what the engines say is compared, not how fast this machine is today.
    run(_replay_config(recorded, judges), RunOptions(ignore_deadlines=True, on_records=keep))
    result = diff(recorded.parts, replayed)
    say(result.summary())
    return result.exit_status


@dataclass(frozen=True)
class Judges:
    """The recipes of a replay: each is asked for before the parts that it judged when they were recorded."""

    own: int
    """Number of the line's own."""
    others: dict[int, str]
    """Number → id in the recipe store."""
    judged_by: tuple[tuple[int, bool, int], ...]
    """As ``RecordingSettings`` has it; empty: one recipe judged every part."""
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, recorded: RecordedLine) -> "Judges":
        """What stood by for a recipe gets a number of its own, and so does a line that had none."""
        own = int(recorded.line.get("recipe_number", 0))
        stored = {int(number): text for number, text in (recorded.line.get("recipes") or {}).items()}
        used = Counter(judged_by(part) for part in recorded.parts)
        spare = (number for number in range(65_535, 0, -1) if number not in {own, *stored})
        here, others, problems = {(own, False): own or next(spare)}, dict[int, str](), []
        for number, earlier in sorted(used.keys() - here.keys()):
            identity = (recorded.earlier if earlier else stored).get(number)
            if identity is None:
                problems.append(
                    f"{used[number, earlier]} parts were judged by {'what stood by for ' if earlier else ''}recipe "
                    f"{number}, which is in no recipe store: the line's own judges them now"
                )
                continue
            here[number, earlier] = next(spare) if earlier else number
            others[here[number, earlier]] = identity
        table = tuple((*key, number) for key, number in here.items())
        return cls(here[own, False] if others else own, others, table if others else (), tuple(problems))


def _replay_config(recorded: RecordedLine, judges: Judges) -> LineConfig:
    camera = recorded.line.get("camera", {})
    kept = {
        key: camera[key] for key in ("max_frame_mib", "frame_slots", "roi") if camera.get(key) is not None
    }
    line = {
        **recorded.line,
        "name": f"{recorded.line['name'][:30]}-replay",
        "camera": {
            "kind": "recording",
            "path": str(recorded.directory.resolve()),
            "wait_for_ready": False,
            "judged_by": judges.judged_by,
            **kept,
        },
        "plc": {"kind": "none", "handshake": bool(judges.others)},
        "recipe_number": judges.own,
        "recipes": judges.others,
        "keep_earlier": False,
    }
    line["conveyor"] = {
        **line.get("conveyor", {}),
        "speed_source": "fixed",
        "m_per_s": recorded.speed_m_per_s,
    }
    line.pop("records", None)
    try:
        return LineConfig.model_validate(line)
    except ValueError as error:
        raise RecordError(
            f"{recorded.directory}: its line cannot be set up by this version of edge: {error}"
        ) from error
