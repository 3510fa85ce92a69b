"""Why a part got its verdict: every number of its record, in the order in which they were used."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge._core import Action, FrameStatus, PlcResult, Reason, Route, Verdict

Fields = Mapping[str, Any]
Line = tuple[str, str]

_NO_LIMIT = 1.5
"""A threshold above every score."""


def explain_part(fields: Fields, classes: Sequence[str] = ()) -> list[Line]:
    """(stage, what it said) for a part record by field names; class ids as numbers where names are unknown."""
    return [
        *_verdict(fields, classes),
        *_speed(fields),
        *_frame(fields),
        *_gate(fields, classes),
        *_classifier(fields),
        *_rule(fields),
        *_time(fields),
        *_plc(fields),
    ]


def _verdict(f: Fields, classes: Sequence[str]) -> Iterator[Line]:
    said = f"{_name(Verdict, f['verdict'])}, reason {_name(Reason, f['reason'])}"
    if f["route"] != Route.NONE:
        called = _class(f["class_id"], classes)
        said += f", settled by the {_name(Route, f['route'])}: {called}, score {_number(f['confidence'])}"
    yield "verdict", said
    if f["judged_verdict"] not in (f["verdict"], Verdict.NONE):
        yield "judged", f"the engines said {_name(Verdict, f['judged_verdict'])}; time overruled it"
    if f["frames"] > 1:
        yield "frames", f"{f['frames']} frames were fused; what follows is of the one that decided"


def _speed(f: Fields) -> Iterator[Line]:
    speed = f["speed_um_per_s"] / 1e6
    yield "speed", f"{speed:.3f} m/s → budget {f['budget_ns'] / 1e6:.2f} ms"
    row = f["row_um_per_s"]
    if row:
        yield "row", f"thresholds for up to {row / 1e6:g} m/s"
    elif f["reason"] == Reason.SPEED:
        yield "row", "none: the routing table does not reach this speed"


def _frame(f: Fields) -> Iterator[Line]:
    if not f["received_ns"]:
        yield "frame", "none came"
        return
    yield (
        "frame",
        f"{f['width']}x{f['height']}, status {_name(FrameStatus, f['frame_status'])}, received "
        f"{_ms(f['received_ns'] - f['triggered_ns'])} after the trigger, exposed until "
        f"{_ms(f['exposure_end_ns'] - f['triggered_ns'])} after it",
    )
    if f["brightness_mean"]:
        sharp = (
            "" if f["sharpness"] is None or f["sharpness"] < 0 else f", sharpness {_number(f['sharpness'])}"
        )
        yield (
            "light",
            f"mean grey level {f['brightness_mean']:.1f}, dark share {f['dark_share']:.4f}, bright share "
            f"{f['bright_share']:.4f}{sharp}",
        )


def _gate(f: Fields, classes: Sequence[str]) -> Iterator[Line]:
    if not f["gate_out_ns"]:
        return
    yield "gate", f"{_ms(f['gate_out_ns'] - f['gate_in_ns'])}; highest: {_class(f['gate_class_id'], classes)}"
    for name, answer in (("defect", "surely defective"), ("good", "surely good"), ("empty", "no part")):
        score, raw = f[f"gate_{name}"], f[f"gate_raw_{name}"]
        yield f"gate {name}", f"{_calibrated(raw, score)} {_against(score, f[f'limit_gate_{name}'], answer)}"


def _classifier(f: Fields) -> Iterator[Line]:
    if f["classifier_needs_ns"]:
        fits = "fits" if f["classifier_needs_ns"] <= f["classifier_left_ns"] else "does not fit"
        yield (
            "time for it",
            f"classifier p99.9 + PLC write p99.9 = {_ms(f['classifier_needs_ns'])}, left "
            f"{_ms(f['classifier_left_ns'])}: {fits}",
        )
    if not f["classifier_out_ns"]:
        return
    yield "classifier", f"{_ms(f['classifier_out_ns'] - f['classifier_in_ns'])}, {f['looks']} look(s)"
    limit, retest = f["limit_classifier_good"], f["limit_retest_good"]
    if retest < _NO_LIMIT:
        yield (
            "second look",
            f"wanted from {_number(retest)} on"
            + (f"; it said {_number(f['second_good'])}" if f["looks"] > 1 else "; not taken"),
        )
    score = f["classifier_good"]
    what = "mean of both looks " if f["looks"] > 1 else ""
    yield (
        "classifier good",
        (
            f"first look raw {_number(f['classifier_raw_good'])}; {what}calibrated {_number(score)} "
            f"{_against(score, limit, 'pass')}"
        ),
    )
    yield "classifier defect", _calibrated(f["classifier_raw_defect"], f["classifier_defect"])


def _rule(f: Fields) -> Iterator[Line]:
    if f["action"] == Action.NONE:
        return
    size = f["defect_size_mm"]
    known = "size and place unknown"
    if size is not None and size >= 0:
        known = f"{size:.2f} mm at ({f['defect_x']:.2f}, {f['defect_y']:.2f}) of the part"
    rule = f"rule {f['rule']}" if f["rule"] else "no rule fits"
    yield "rules", f"defect {known}; {rule} → {_name(Action, f['action'])}, bin {f['bin']}"


def _time(f: Fields) -> Iterator[Line]:
    if f["decided_ns"] and f["deadline_ns"]:
        left = f["deadline_ns"] - f["decided_ns"]
        yield "decided", f"{_ms(abs(left))} {'before' if left >= 0 else 'after'} the deadline"


def _plc(f: Fields) -> Iterator[Line]:
    if "plc_result" not in f:
        return
    text = _name(PlcResult, f["plc_result"])
    if f["ack_ns"]:
        text += f", {_ms(f['ack_ns'] - f['decided_ns'])} after the decision"
        if f["deadline_ns"]:
            text += f", {_ms(f['deadline_ns'] - f['ack_ns'])} left"
    yield "PLC", text
    yield "held", f"{_name(Verdict, f['final_verdict'])}, reason {_name(Reason, f['final_reason'])}"


def _calibrated(raw: float | None, score: float | None) -> str:
    return f"raw {_number(raw)} → {_number(score)}"


def _against(score: float | None, limit: float, answer: str) -> str:
    if score is None or math.isnan(score):
        return f"(limit {_number(limit)})"
    return f"≥ {_number(limit)}: {answer}" if score >= limit else f"< {_number(limit)}: not {answer}"


def _class(class_id: int, classes: Sequence[str]) -> str:
    return classes[class_id] if 0 <= class_id < len(classes) else f"class {class_id}"


def _name(enum: Any, value: int) -> str:
    return str(enum(value).name).lower().replace("_", " ")


def _ms(ns: int) -> str:
    return f"{ns / 1e6:.3f} ms"


def _number(value: float | None) -> str:
    return "no number" if value is None or math.isnan(value) else f"{value:.6g}"
