"""The slowest parts as a trace for Perfetto (https://ui.perfetto.dev), in the Trace Event Format."""

from collections.abc import Sequence
from typing import Any

from edge._core import Reason, Verdict
from edge.profile.stages import PLACES, STAGES, Record, latency_ns

WORST = 64
_THREADS = {"camera": 1, "loop": 2, "actuation": 3}
_BOUNDS = {
    "wake": ("received_ns", "started_ns"),
    "preprocess": ("started_ns", "gate_in_ns"),
    "gate": ("gate_in_ns", "gate_out_ns"),
    "classifier_preprocess": ("gate_out_ns", "classifier_in_ns"),
    "classifier": ("classifier_in_ns", "classifier_out_ns"),
    "handover": ("decided_ns", "queued_ns"),
    "plc_prepare": ("queued_ns", "sent_ns"),
    "plc_write": ("sent_ns", "ack_ns"),
}


def trace(records: Sequence[Record], line: str, worst: int = WORST) -> dict[str, Any]:
    """A JSON object; times are microseconds after the first part of the trace."""
    chosen = sorted(records, key=lambda record: latency_ns(record) or 0, reverse=True)[:worst]
    chosen.sort(key=lambda record: int(record["triggered_ns"]))
    start = int(chosen[0]["triggered_ns"]) if chosen else 0
    events: list[dict[str, Any]] = [_named("process_name", f"line {line}", 0)]
    events += [_named("thread_name", name, thread) for name, thread in _THREADS.items()]
    for record in chosen:
        events += _of_part(record, start)
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _named(kind: str, name: str, thread: int) -> dict[str, Any]:
    return {"ph": "M", "pid": 1, "tid": thread, "name": kind, "args": {"name": name}}


def _of_part(record: Record, start: int) -> list[dict[str, Any]]:
    facts = {
        "part": int(record["part_id"]),
        "verdict": Verdict(int(record["final_verdict"])).name.lower(),
        "reason": Reason(int(record["final_reason"])).name.lower(),
        "latency_ms": (latency_ns(record) or 0) / 1e6,
    }
    events = []
    if record["received_ns"]:
        events.append(_span("frame", "camera", (record["triggered_ns"], record["received_ns"], start), facts))
    last_out = record["classifier_out_ns"] or record["gate_out_ns"]
    for name in STAGES:
        begin, end = (
            (last_out, record["decided_ns"]) if name == "decide" else (record[key] for key in _BOUNDS[name])
        )
        if begin and end:
            events.append(_span(name, PLACES[name], (begin, end, start), facts))
    return events


def _span(name: str, place: str, times: tuple[int, int, int], facts: dict[str, Any]) -> dict[str, Any]:
    begin, end, start = map(int, times)
    return {
        "ph": "X",
        "pid": 1,
        "tid": _THREADS[place],
        "name": name,
        "cat": place,
        "ts": (begin - start) / 1e3,
        "dur": max(0, end - begin) / 1e3,
        "args": facts,
    }
