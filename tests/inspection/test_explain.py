"""``edge route``: the numbers of a record, in words."""

from pathlib import Path

import pytest

from edge import _core
from edge._core import PlcResult, Reason, Route, Verdict
from edge.errors import EdgeError, RecordError
from edge.inspection.commands import explain, release
from edge.inspection.explain import explain_part

CLASSES = ("no_part", "flawless", "crack")
BLANK = {name: 0 for name in _core.PART_RECORD_DTYPE.names or ()}
ESCALATED = {
    **BLANK,
    "part_id": 7,
    "verdict": Verdict.REJECT,
    "judged_verdict": Verdict.REJECT,
    "reason": Reason.UNCERTAIN,
    "route": Route.CLASSIFIER,
    "class_id": 2,
    "confidence": 0.4,
    "frames": 1,
    "speed_um_per_s": 1_200_000,
    "row_um_per_s": 1_500_000,
    "budget_ns": 15_000_000,
    "triggered_ns": 10_000_000,
    "exposure_end_ns": 11_000_000,
    "received_ns": 12_000_000,
    "gate_in_ns": 13_000_000,
    "gate_out_ns": 13_900_000,
    "gate_raw_good": 0.81,
    "gate_good": 0.62,
    "gate_defect": 0.3,
    "limit_gate_good": 0.97,
    "limit_gate_defect": 0.9,
    "limit_gate_empty": 0.99,
    "classifier_needs_ns": 3_000_000,
    "classifier_left_ns": 13_000_000,
    "classifier_in_ns": 14_000_000,
    "classifier_out_ns": 18_000_000,
    "classifier_raw_good": 0.9,
    "classifier_good": 0.55,
    "limit_classifier_good": 0.95,
    "limit_retest_good": 0.3,
    "looks": 2,
    "second_good": 0.31,
    "brightness_mean": 104.5,
    "sharpness": -1.0,
    "decided_ns": 18_100_000,
    "deadline_ns": 27_000_000,
    "ack_ns": 19_000_000,
    "plc_result": PlcResult.ACKED,
    "final_verdict": Verdict.REJECT,
    "final_reason": Reason.UNCERTAIN,
}


def test_every_number_that_led_to_the_verdict_is_told() -> None:
    told = dict(explain_part(ESCALATED, CLASSES))
    assert "uncertain" in told["verdict"]
    assert "crack" in told["verdict"]
    assert told["row"] == "thresholds for up to 1.5 m/s"
    assert told["gate good"] == "raw 0.81 → 0.62 < 0.97: not surely good"
    assert "3.000 ms, left 13.000 ms: fits" in told["time for it"]
    assert "it said 0.31" in told["second look"]
    assert "mean of both looks calibrated 0.55 < 0.95: not pass" in told["classifier good"]
    assert told["decided"] == "8.900 ms before the deadline"
    assert "8.000 ms left" in told["PLC"]


def test_a_part_without_a_frame_and_one_outside_the_table() -> None:
    lost = {**BLANK, "verdict": Verdict.REJECT, "reason": Reason.FRAME_LOST, "frames": 0}
    assert dict(explain_part(lost))["frame"] == "none came"
    fast = {**BLANK, "verdict": Verdict.REJECT, "reason": Reason.SPEED, "speed_um_per_s": 9_000_000}
    assert "does not reach" in dict(explain_part(fast))["row"]


def test_no_number_is_called_so() -> None:
    told = dict(explain_part({**ESCALATED, "gate_good": None, "gate_raw_good": float("nan")}))
    assert told["gate good"].startswith("raw no number → no number")


def test_a_ring_file_is_read_from_its_oldest_part_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ring"
    ring = _core.RecordRing.create(str(path), capacity=16)
    for part in (1, 2):
        index = ring.append_unjudged(part_id=part, encoder_count=0, triggered_ns=1, deadline_ns=2)
        ring.acknowledge(
            index,
            verdict=Verdict.REJECT,
            reason=Reason.NO_VERDICT,
            result=PlcResult.ACKED,
            queued_ns=1,
            sent_ns=2,
            ack_ns=3,
        )
    explain(path, part=1)
    assert "part 1" in capsys.readouterr().out
    explain(path, part=None)
    assert "part 2" in capsys.readouterr().out
    with pytest.raises(RecordError, match="part 9 is not in it"):
        explain(path, part=9)


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="neither a recording nor a ring file"):
        explain(tmp_path, part=1)


def test_only_a_running_line_is_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_RUN_DIR", str(tmp_path))
    with pytest.raises(EdgeError, match="line 'demo' is not running"):
        release("demo")
