"""Compares what a line said when it was recorded with what it says when the recording is replayed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge._core import Reason, Route, Verdict
from edge.records.recorded import RecordedPart

Fields = Mapping[str, Any]

TIMING_REASONS = frozenset(
    {Reason.OVERRUN, Reason.NO_TIME, Reason.NO_VERDICT, Reason.PLC_SILENT, Reason.FRAME_STALE}
)
"""They depend on the clock and the PLC, not on the picture: what the engines said is compared instead."""
SCORE_TOLERANCE = 1e-4
"""The same engine on the same machine gives the same scores; another CPU rounds in another order."""

_NAMED = {"verdict": Verdict, "judged_verdict": Verdict, "reason": Reason, "route": Route}
_DECIDED = ("verdict", "reason", "class_id")
_JUDGED = ("judged_verdict", "judged_class_id")
_GATE_SCORES = ("gate_good", "gate_defect", "gate_empty")
_CLASSIFIER_SCORES = ("classifier_good", "classifier_defect")


@dataclass(frozen=True)
class Difference:
    """One field of one part."""

    part_id: int
    field: str
    recorded: Any
    replayed: Any

    def __str__(self) -> str:
        return (
            f"part {self.part_id}: {self.field} was {_show(self.field, self.recorded)}, "
            f"is {_show(self.field, self.replayed)}"
        )


@dataclass(frozen=True)
class VerdictDiff:
    """The outcome of a replay."""

    compared: int
    differences: list[Difference] = field(default_factory=list)
    timing: list[int] = field(default_factory=list)
    """Parts that were or are rejected for a reason of time; compared on what the engines said."""
    not_recorded: list[int] = field(default_factory=list)
    """Parts whose frame is not in the recording."""
    not_replayed: list[int] = field(default_factory=list)
    """Parts that the replay should have shown and gave no record for."""
    unexpected: list[int] = field(default_factory=list)
    """Parts that the recording does not know."""

    @property
    def empty(self) -> bool:
        """True when nothing has changed; timing and frames that were never recorded do not count."""
        return not (self.differences or self.not_replayed or self.unexpected)

    @property
    def exit_status(self) -> int:
        """0: nothing has changed; 1: something has, or nothing could be compared."""
        return 0 if self.empty and self.compared else 1

    def summary(self, limit: int = 20) -> str:
        """Lines for the terminal; at most ``limit`` differences are spelled out."""
        changed = len({difference.part_id for difference in self.differences})
        lines = [f"{self.compared} parts compared, {changed} differ"]
        lines += [f"  {difference}" for difference in self.differences[:limit]]
        if len(self.differences) > limit:
            lines.append(f"  … and {len(self.differences) - limit} more")
        lists = {
            "rejected for a reason of time, compared on what the engines said": self.timing,
            "not replayed: their frame is not in the recording": self.not_recorded,
            "shown, but without a record": self.not_replayed,
            "not known to the recording": self.unexpected,
        }
        lines += [f"{len(ids)} parts {text}: {_some(ids)}" for text, ids in lists.items() if ids]
        return "\n".join(lines)


def diff(
    recorded: Iterable[RecordedPart], replayed: Iterable[Fields], tolerance: float = SCORE_TOLERANCE
) -> VerdictDiff:
    """Compares part by part; ``replayed`` are part records by field name (see recording.part_fields)."""
    after: dict[int, Fields] = {}
    for fields in replayed:
        # Of two records of a part the one that the engines judged counts, as in recorded.one_per_part.
        if int(fields["part_id"]) not in after or fields["gate_out_ns"]:
            after[int(fields["part_id"])] = fields
    result = VerdictDiff(0)
    compared = 0
    for part in recorded:
        now = after.pop(part.part_id, None)
        if not part.replayable:
            result.not_recorded.append(part.part_id)
        elif now is None:
            result.not_replayed.append(part.part_id)
        else:
            compared += 1
            _compare(part.fields, now, tolerance, result)
    result.unexpected.extend(sorted(after))
    return VerdictDiff(
        compared,
        result.differences,
        result.timing,
        result.not_recorded,
        result.not_replayed,
        result.unexpected,
    )


def _compare(before: Fields, now: Fields, tolerance: float, result: VerdictDiff) -> None:
    part_id = int(before["part_id"])
    timing = any(_is_timing(fields) for fields in (before, now))
    if timing:
        result.timing.append(part_id)
    # Where time cut the second look off, the classifier's word is another one than after both.
    same_route = before["route"] == now["route"] and not (timing and before.get("looks") != now.get("looks"))
    exact: tuple[str, ...] = _JUDGED if timing else (*_DECIDED, *_JUDGED, "route")
    # Without the time for the classifier the gate's word is all there is.
    scores = _GATE_SCORES + (_CLASSIFIER_SCORES if same_route else ())
    if timing and (not same_route or _unjudged(before) or _unjudged(now)):
        exact = ()
    if timing and (_without_gate(before) or _without_gate(now)):
        scores = ()
    names = [name for name in exact if before[name] != now[name]]
    names += [name for name in scores if not _close(before[name], now[name], tolerance)]
    result.differences.extend(Difference(part_id, name, before[name], now[name]) for name in names)


def _is_timing(fields: Fields) -> bool:
    return fields["reason"] in TIMING_REASONS or fields.get("final_reason") in TIMING_REASONS


def _unjudged(fields: Fields) -> bool:
    return bool(fields["judged_verdict"] == Verdict.NONE)


def _without_gate(fields: Fields) -> bool:
    return not fields["gate_out_ns"]


def _close(a: float | None, b: float | None, tolerance: float) -> bool:
    x, y = math.nan if a is None else a, math.nan if b is None else b
    return (math.isnan(x) and math.isnan(y)) or abs(x - y) <= tolerance


def _show(name: str, value: Any) -> str:
    return (
        _NAMED[name](value).name.lower()
        if name in _NAMED
        else f"{value:.5g}"
        if value is not None
        else "none"
    )


def _some(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:10])) + (", …" if len(ids) > 10 else "")
