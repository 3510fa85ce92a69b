"""``edge replay``: shows a recording to the line again and compares the verdicts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.config import LineConfig
from edge.errors import RecordError
from edge.line import RunOptions
from edge.records.recorded import RecordedLine
from edge.records.recording import part_fields
from edge.records.replay_diff import diff


def replay_recording(
    recording: Path, run: Callable[[LineConfig, RunOptions], object], say: Callable[[str], None]
) -> int:
    """Exit status: 0 when the line says of every part what it said when it was recorded. Raises RecordError."""
    recorded = RecordedLine.load(recording)
    for problem in recorded.problems:
        say(problem)
    replayed: list[dict[str, Any]] = []

    def keep(records: NDArray[np.void]) -> None:
        replayed.extend(part_fields(record) for record in records)

    # Judged without the clock: what the engines say is compared, not how fast this machine is today.
    run(_replay_config(recorded), RunOptions(ignore_deadlines=True, on_records=keep))
    result = diff(recorded.parts, replayed)
    say(result.summary())
    return result.exit_status


def _replay_config(recorded: RecordedLine) -> LineConfig:
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
            **kept,
        },
        "plc": {"kind": "none"},
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
