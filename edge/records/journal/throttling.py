"""What held the clocks down while a part passed, from the events of a journal."""

from collections.abc import Iterable, Mapping

from edge.service.telemetry.timeline import Names, Timeline

BEGIN, END, NEW = "throttled", "unthrottled", "telemetry"
"""Kinds of events. NEW: somebody looks anew; what held before nobody can tell."""


def timeline_of(events: Iterable[tuple[int, str, str]]) -> Timeline:
    """(wall clock ns, kind, text) → causes over time."""
    found, holding = Timeline(kept=None), frozenset[str]()
    found.change(0, holding)
    for wall_ns, kind, text in sorted(events):
        holding = _after(holding, kind, text.partition(":")[0])
        found.change(wall_ns, holding)
    return found


def throttled(timeline: Timeline, row: Mapping[str, int | None]) -> str:
    """Causes with semicolons between them, of a row of the table ``parts``; empty: none that is known."""
    begin_ns = row["wall_ns"] or 0
    end_ns = begin_ns + (row["ack_ns"] or row["decided_ns"] or 0)
    return "; ".join(sorted(timeline.between(begin_ns, end_ns)))


def _after(holding: Names, kind: str, name: str) -> Names:
    if kind == NEW:
        return frozenset()
    return holding | {name} if kind == BEGIN else holding - {name}
