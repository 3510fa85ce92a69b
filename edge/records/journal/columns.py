"""What is kept of a part record, as one table from which the schema, the rows and the answers come."""

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge._core import Action, FrameStatus, PlcResult, Reason, Route, Verdict

AFTER_TRIGGER = (
    "exposure_end_ns",
    "received_ns",
    "started_ns",
    "gate_in_ns",
    "gate_out_ns",
    "classifier_in_ns",
    "classifier_out_ns",
    "decided_ns",
    "deadline_ns",
    "queued_ns",
    "sent_ns",
    "ack_ns",
)
"""Kept as nanoseconds after the trigger, which are short; NULL: that stage did not run."""

NAMES: Mapping[str, type[IntEnum]] = {
    "verdict": Verdict,
    "reason": Reason,
    "route": Route,
    "judged_verdict": Verdict,
    "final_verdict": Verdict,
    "final_reason": Reason,
    "plc_result": PlcResult,
    "action": Action,
    "frame_status": FrameStatus,
}
"""Columns that hold the number of a name."""

NUMBERS = (
    "part_id",
    "frame_id",
    "encoder_count",
    "triggered_ns",
    "budget_ns",
    "speed_um_per_s",
    "row_um_per_s",
    "class_id",
    "judged_class_id",
    "gate_class_id",
    "width",
    "height",
    "classifier_needs_ns",
    "classifier_left_ns",
    "looks",
    "frames",
    "bin",
    "rule",
    *NAMES,
)
SCORES = (
    "confidence",
    "gate_good",
    "gate_defect",
    "gate_empty",
    "classifier_good",
    "classifier_defect",
    "second_good",
    "limit_gate_good",
    "limit_gate_defect",
    "limit_gate_empty",
    "limit_classifier_good",
    "limit_retest_good",
    "brightness_mean",
    "dark_share",
    "bright_share",
    "sharpness",
    "defect_size_mm",
    "defect_x",
    "defect_y",
)
_DIGITS = 6
"""Of a 32-bit float, significant; rounding makes files shorter to read."""

COLUMNS = ("run_id", "ring_index", "wall_ns", *NUMBERS, *AFTER_TRIGGER, *SCORES, "recipe", "recipe_earlier")
"""What came with a later schema stands last, as it does in a file that was brought up."""


def rows(
    records: NDArray[np.void], indices: list[int], run_id: int, wall_offset_ns: int
) -> list[tuple[Any, ...]]:
    """One tuple a record (PART_RECORD_DTYPE), in the order of COLUMNS.

    ``wall_offset_ns``: wall clock minus monotonic.
    """
    found = []
    for record, index in zip(records, indices, strict=True):
        # A part without a trigger in its record is placed by its decision.
        triggered = int(record["triggered_ns"]) or int(record["decided_ns"])
        found.append(
            (
                run_id,
                index,
                triggered + wall_offset_ns,
                *(int(record[name]) for name in NUMBERS),
                *(int(record[name]) - triggered if record[name] else None for name in AFTER_TRIGGER),
                *(_short(float(record[name])) for name in SCORES),
                int(record["recipe"]),
                int(record["recipe_earlier"]),
            )
        )
    return found


def _short(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def name_of(column: str, value: int) -> str:
    """``reject`` for a 2 in ``verdict``; a number that this release does not know comes as text."""
    try:
        return NAMES[column](value).name.lower()
    except ValueError:
        return str(value)
