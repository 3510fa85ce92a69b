"""Part records become counts: each part once, whatever died in between."""

import numpy as np

from edge._core import PART_RECORD_DTYPE, PlcResult, Reason, Route, Verdict
from edge.report.collector import Collector, percentiles

MS = 1_000_000


def record(part_id: int, result: PlcResult = PlcResult.ACKED, **fields: int) -> np.ndarray:
    made = np.zeros(1, PART_RECORD_DTYPE)
    values = {
        "part_id": part_id,
        "triggered_ns": 1 * MS,
        "received_ns": 5 * MS,
        "started_ns": 5 * MS,
        "gate_in_ns": 6 * MS,
        "gate_out_ns": 8 * MS,
        "decided_ns": 8 * MS,
        "queued_ns": 8 * MS,
        "sent_ns": 8 * MS,
        "ack_ns": 9 * MS,
        "budget_ns": 15 * MS,
        "route": Route.GATE,
        "final_verdict": Verdict.PASS,
        "plc_result": result,
        **fields,
    }
    for name, value in values.items():
        made[name] = value
    return made


def test_times_are_taken_apart() -> None:
    c = Collector()
    c.add(record(1, classifier_in_ns=8 * MS, classifier_out_ns=8 * MS + MS // 2, route=Route.CLASSIFIER))
    assert percentiles(c.latency).max == 4.0
    assert percentiles(c.trigger_to_ack).max == 8.0
    assert percentiles(c.engine).max == 2.5
    assert percentiles(c.tax).max == 1.5
    assert c.gate_share == 0.0
    assert c.budget_span().max == 15.0


def test_final_verdict_counts_not_the_first_one() -> None:
    c = Collector(keep_finals=True)
    c.add(record(1, final_verdict=Verdict.REJECT, final_reason=Reason.OVERRUN, verdict=Verdict.PASS))
    assert c.verdict_counts().reject == 1 and c.overruns == 1
    assert c.reasons == {"overrun": 1}
    assert c.final_of(1) is Verdict.REJECT and c.final_of(2) is Verdict.NONE


def test_a_superseded_verdict_is_not_a_second_one() -> None:
    c = Collector()
    c.add(record(1, final_verdict=Verdict.REJECT, final_reason=Reason.NO_VERDICT))
    c.add(record(1, PlcResult.SUPERSEDED, final_verdict=Verdict.REJECT, final_reason=Reason.NO_VERDICT))
    assert (c.parts, c.superseded, c.duplicates) == (1, 1, 0)


def test_an_unanswered_record_counts_once_and_as_a_reject() -> None:
    c = Collector()
    c.add(record(1, PlcResult.PENDING, final_verdict=Verdict.NONE))
    c.add(record(2, PlcResult.PENDING, final_verdict=Verdict.NONE))
    assert (c.parts, c.seen) == (0, 2)
    c.add(record(1, final_verdict=Verdict.REJECT, final_reason=Reason.NO_VERDICT))
    c.close()
    assert (c.parts, c.seen, c.duplicates) == (2, 2, 0)
    assert c.reasons == {"no_verdict": 1, "plc_silent": 1}


def test_two_records_of_one_part_are_noticed() -> None:
    c = Collector()
    c.add(record(1))
    c.add(record(1))
    assert c.duplicates == 1


def test_nothing_measured_is_null_not_zero() -> None:
    empty = percentiles(Collector().latency)
    assert empty.p50 is None and empty.max is None
