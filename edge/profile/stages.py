"""The stages of a part, from the times in its record: the one table behind reports, profiles and metrics."""

from collections.abc import Callable, Mapping
from typing import Any

Record = Any  # one row of PART_RECORD_DTYPE


def engine_ns(r: Record) -> int:
    """Both engines together."""
    return int(r["gate_out_ns"] - r["gate_in_ns"]) + int(r["classifier_out_ns"] - r["classifier_in_ns"])


def _last_out(r: Record) -> int:
    return int(r["classifier_out_ns"] or r["gate_out_ns"])


STAGES: Mapping[str, tuple[str, Callable[[Record], int]]] = {
    # name: (time that must have been taken for the stage to have run, its length in ns)
    "wake": ("started_ns", lambda r: int(r["started_ns"] - r["received_ns"])),
    "preprocess": ("gate_in_ns", lambda r: int(r["gate_in_ns"] - r["started_ns"])),
    "gate": ("gate_out_ns", lambda r: int(r["gate_out_ns"] - r["gate_in_ns"])),
    "classifier_preprocess": ("classifier_out_ns", lambda r: int(r["classifier_in_ns"] - r["gate_out_ns"])),
    "classifier": ("classifier_out_ns", lambda r: int(r["classifier_out_ns"] - r["classifier_in_ns"])),
    "decide": ("gate_out_ns", lambda r: int(r["decided_ns"]) - _last_out(r)),
    "handover": ("queued_ns", lambda r: int(r["queued_ns"] - r["decided_ns"])),
    "plc_prepare": ("sent_ns", lambda r: int(r["sent_ns"] - r["queued_ns"])),
    "plc_write": ("ack_ns", lambda r: int(r["ack_ns"] - r["sent_ns"])),
}


PLACES: Mapping[str, str] = {
    "wake": "loop",
    "preprocess": "loop",
    "gate": "loop",
    "classifier_preprocess": "loop",
    "classifier": "loop",
    "decide": "loop",
    "handover": "actuation",
    "plc_prepare": "actuation",
    "plc_write": "actuation",
}
"""In which process a stage runs."""


def stages_of(record: Record) -> dict[str, int]:
    """Name → nanoseconds of every stage that ran."""
    return {name: length(record) for name, (ran, length) in STAGES.items() if record[ran]}


def latency_ns(record: Record) -> int | None:
    """Last packet received → acknowledged by the PLC; None: one of them did not happen."""
    if not record["received_ns"] or not record["ack_ns"]:
        return None
    return int(record["ack_ns"] - record["received_ns"])
