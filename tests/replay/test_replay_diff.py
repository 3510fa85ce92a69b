import math

import pytest

from edge._core import Reason, Route, Verdict
from edge.records.recorded import LOST, MISSED, STORED, RecordedFrame, RecordedPart, one_per_part
from edge.records.replay_diff import diff

FIELDS = {
    "part_id": 1,
    "verdict": Verdict.PASS,
    "reason": Reason.NONE,
    "final_reason": Reason.NONE,
    "route": Route.GATE,
    "class_id": 1,
    "judged_verdict": Verdict.PASS,
    "judged_class_id": 1,
    "gate_out_ns": 5,
    "triggered_ns": 1,
    "gate_good": 0.9,
    "gate_defect": 0.1,
    "gate_empty": 0.0,
    "classifier_good": 0.0,
    "classifier_defect": 0.0,
}


def fields(part_id=1, **changed):
    return {**FIELDS, "part_id": part_id, **changed}


def part(part_id=1, state=STORED, **changed):
    return RecordedPart(fields(part_id, **changed), RecordedFrame(state))


def test_the_same_is_no_difference():
    result = diff([part(1), part(2)], [fields(2), fields(1)])
    assert result.empty and result.exit_status == 0
    assert result.summary() == "2 parts compared, 0 differ"


def test_nothing_compared_is_not_a_success():
    assert diff([], []).exit_status == 1
    assert diff([part(1, MISSED)], []).exit_status == 1


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"verdict": Verdict.REJECT}, "part 1: verdict was pass, is reject"),
        ({"reason": Reason.UNCERTAIN}, "part 1: reason was none, is uncertain"),
        ({"class_id": 4}, "part 1: class_id was 1, is 4"),
        ({"judged_verdict": Verdict.NO_PART}, "part 1: judged_verdict was pass, is no_part"),
        ({"route": Route.CLASSIFIER}, "part 1: route was gate, is classifier"),
        ({"gate_good": 0.91}, "part 1: gate_good was 0.9, is 0.91"),
        ({"gate_good": math.nan}, "part 1: gate_good was 0.9, is nan"),
        ({"gate_good": None}, "part 1: gate_good was 0.9, is none"),
    ],
)
def test_each_field_counts(changed, text):
    result = diff([part()], [fields(**changed)])
    assert result.exit_status == 1
    assert text in result.summary()


def test_scores_within_the_tolerance_and_nan_on_both_sides_are_equal():
    assert diff([part(gate_good=0.9)], [fields(gate_good=0.90005)]).empty
    assert not diff([part(gate_good=0.9)], [fields(gate_good=0.90005)], tolerance=1e-6).empty
    assert diff([part(gate_good=math.nan)], [fields(gate_good=None)]).empty


@pytest.mark.parametrize("reason", [Reason.OVERRUN, Reason.PLC_SILENT, Reason.FRAME_STALE])
def test_a_reason_of_time_is_set_apart_and_the_engines_word_compared(reason):
    late = {"verdict": Verdict.REJECT, "reason": reason}
    result = diff([part(1, **late), part(2)], [fields(1), fields(2)])
    assert result.empty and result.timing == [1]
    assert "1 parts rejected for a reason of time" in result.summary()
    changed = diff([part(1, **late)], [fields(1, judged_verdict=Verdict.REJECT)])
    assert [d.field for d in changed.differences] == ["judged_verdict"]


def test_the_plcs_silence_is_a_reason_of_time_too():
    assert diff([part(final_reason=Reason.PLC_SILENT)], [fields()]).timing == [1]


def test_without_time_for_the_classifier_only_the_gate_is_compared():
    hurried = {"verdict": Verdict.REJECT, "reason": Reason.NO_TIME, "judged_verdict": Verdict.REJECT}
    full = {"route": Route.CLASSIFIER, "classifier_good": 0.8, "classifier_defect": 0.2}
    assert diff([part(**hurried)], [fields(**full)]).empty
    changed = diff([part(**hurried)], [fields(**full, gate_good=0.5)])
    assert [d.field for d in changed.differences] == ["gate_good"]


def test_a_part_without_a_verdict_has_nothing_to_compare():
    dead = {"reason": Reason.NO_VERDICT, "judged_verdict": Verdict.NONE, "gate_out_ns": 0, "gate_good": 0.0}
    assert diff([part(**dead)], [fields()]).empty


def test_parts_on_one_side_only():
    result = diff([part(1), part(2), part(3, MISSED), part(4, LOST)], [fields(1), fields(4), fields(9)])
    assert (result.not_replayed, result.not_recorded, result.unexpected) == ([2], [3], [9])
    assert result.exit_status == 1


def test_of_two_records_of_a_part_the_judged_one_counts():
    given_up = part(1, gate_out_ns=0, reason=Reason.NO_VERDICT)
    assert one_per_part([given_up, part(1)]) == [part(1)]
    assert one_per_part([part(1), given_up]) == [part(1)]
    assert diff([part(1)], [fields(1), fields(1, gate_out_ns=0, reason=Reason.NO_VERDICT)]).timing == []


def test_a_long_list_is_cut():
    result = diff([part(i) for i in range(1, 31)], [fields(i, class_id=3) for i in range(1, 31)])
    assert "… and 10 more" in result.summary()
