import json
import re
from itertools import pairwise
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from edge import _core
from edge._core import PlcResult, Reason, Verdict
from edge.errors import RecordError
from edge.profile.causes import overruns
from edge.profile.compare import compare, load
from edge.profile.figures import highest_speed, idle_gaps, speed_steps, spread, stage_spreads, throttling
from edge.profile.machine import MachineWatch, Sample
from edge.profile.page import page
from edge.profile.report import ProfileReport
from edge.profile.run import sweep_profile
from edge.profile.trace import trace
from edge.report.collector import Collector
from edge.service.telemetry.timeline import Timeline
from tests.test_line import Bench
from tools.twin.conveyor import SpeedProfile

MS = 1_000_000
PERIOD_NS = 50 * MS


def part(
    number: int,
    *,
    classifier_ms: float = 2.0,
    plc_ms: float = 0.2,
    speed: float = 1.2,
    at_ns: int | None = None,
):
    """A part every 50 ms: received, judged by both engines, acknowledged."""
    record = np.zeros(1, _core.PART_RECORD_DTYPE)[0]
    begin = 10**12 + number * PERIOD_NS if at_ns is None else at_ns
    times = {"triggered_ns": begin, "received_ns": begin + 3 * MS, "started_ns": begin + 3 * MS + 10_000}
    times["gate_in_ns"] = times["started_ns"] + 200_000
    times["gate_out_ns"] = times["gate_in_ns"] + MS
    times["classifier_in_ns"] = times["gate_out_ns"] + 10_000
    times["classifier_out_ns"] = times["classifier_in_ns"] + int(classifier_ms * MS)
    times["decided_ns"] = times["classifier_out_ns"] + 5_000
    times["queued_ns"] = times["decided_ns"] + 50_000
    times["sent_ns"] = times["queued_ns"] + 50_000
    times["ack_ns"] = times["sent_ns"] + int(plc_ms * MS)
    for name, value in times.items():
        record[name] = value
    record["part_id"], record["budget_ns"], record["speed_um_per_s"] = number, 15 * MS, round(speed * 1e6)
    late = times["ack_ns"] - times["received_ns"] > 15 * MS
    record["plc_result"] = PlcResult.ACKED
    record["final_verdict"] = Verdict.REJECT if late else Verdict.PASS
    record["final_reason"] = Reason.OVERRUN if late else Reason.NONE
    return record


def watch(storm_at: int | None = None, **grown: int) -> MachineWatch:
    """A sample every 50 ms; around part ``storm_at`` the counters grow by what is given."""
    found, values = MachineWatch(), {"page_faults": 0, "waited_ns": 0, "interrupts": 0, "involuntary": 0}
    for number in range(103):
        values["interrupts"] += 50
        if storm_at is not None and number == storm_at + 1:
            for name, by in grown.items():
                values[name] += by
        at_ns = 10**12 + number * PERIOD_NS
        found.samples.append(
            Sample(at_ns=at_ns, major_page_faults=0, voluntary=0, temperature_c=None, mhz=None, **values)
        )
    return found


CASES = [
    ({"classifier_ms": 20.0}, {"waited_ns": 17 * MS}, "classifier", "waited for the processor"),
    ({"classifier_ms": 20.0}, {"page_faults": 4000}, "classifier", "page faults"),
    ({"classifier_ms": 20.0}, {"interrupts": 5000}, "classifier", "interrupts"),
    ({"plc_ms": 30.0}, {}, "plc_write", None),
]


@pytest.mark.parametrize(("slow", "machine", "stage", "cause"), CASES)
def test_a_late_part_is_blamed_on_its_stage_and_on_what_the_machine_did(slow, machine, stage, cause):
    records = [part(number, **(slow if number == 50 else {})) for number in range(100)]
    found = overruns(records, {"loop": watch(50, **machine), "actuation": watch()})
    assert (found.late, found.by_stage) == (1, {stage: 1})
    assert found.worst[0].part_id == 50
    assert found.by_cause == ({cause: 1} if cause else {})


def test_without_late_parts_the_slowest_are_shown_and_nothing_is_counted():
    records = [part(number, classifier_ms=2 + number / 100) for number in range(100)]
    found = overruns(records, {"loop": watch(), "actuation": watch()})
    assert (found.late, found.by_stage, found.by_cause) == (0, {}, {})
    assert [one.part_id for one in found.worst[:2]] == [99, 98]


def test_a_late_part_while_the_clocks_were_held_down_says_so():
    records = [part(number, **({"classifier_ms": 20.0} if number == 50 else {})) for number in range(100)]
    held = Timeline()
    for number in range(0, 100, 4):
        names = ("gpu lowered",) if 48 <= number <= 60 else ()
        held.look(10**12 + number * PERIOD_NS, names)
    found = overruns(records, {"loop": watch(), "actuation": watch()}, held)
    assert found.by_cause == {"clocks held down": 1}
    assert found.worst[0].causes == ("clocks held down: gpu lowered",)
    beside = throttling(records, held)
    assert beside.parts_by_cause == {"gpu lowered": 20}, (
        "from the look before the first to the one after the last"
    )
    assert (beside.held_ms.max, beside.free_ms.max) == (pytest.approx(21.525), pytest.approx(3.525))
    text = page(example(throttling=beside), records)
    assert "gpu lowered: 20 parts" in text


def test_quantiles_are_values_that_were_measured():
    found = spread([MS * value for value in range(1, 1001)])
    assert (found.parts, found.p50, found.p99_9, found.max) == (1000, 501.0, 1000.0, 1000.0)
    assert spread([]) is None


def test_stages_are_those_of_the_report_of_a_run():
    records = np.array([part(number) for number in range(100)])
    collector = Collector()
    collector.add(records)
    found = stage_spreads(list(records))
    assert list(found) == [name for name, histogram in collector.stages.items() if histogram.count]
    for name, figures in found.items():
        assert figures.p50 == pytest.approx(collector.stages[name].quantile(0.5) / MS, rel=0.02)
    assert found["classifier"].p50 == 2.0


def test_rests_and_speeds_are_found_in_the_records():
    records = [part(number) for number in range(20)]
    records.append(part(20, classifier_ms=9, at_ns=int(records[-1]["triggered_ns"]) + 1_020 * MS))
    (gap,) = idle_gaps(records, (1.0, 10.0))
    assert (gap.gap_s, gap.latency_ms) == (1.02, pytest.approx(10.525, abs=0.01))
    mixed = [part(n, speed=0.6) for n in range(50)] + [
        part(n, speed=2.4, classifier_ms=20) for n in range(50, 100)
    ]
    steps = speed_steps(mixed, [0.6, 1.2, 2.4])
    assert [(step.m_per_s, step.parts, step.holds) for step in steps] == [(0.6, 50, True), (2.4, 50, False)]
    assert highest_speed(steps) == 0.6
    assert highest_speed(steps[1:]) is None


def test_the_belt_of_the_sweep_rests_and_runs_as_long_as_was_asked():
    text, parts = sweep_profile(1.2, [0.6, 2.4], 100, [1.0, 10.0])
    belt = SpeedProfile.parse(text)
    at = [step / 100 for step in range(8000)]
    standing = [t for t in at if belt.speed_m_per_s(t) == 0]
    assert len(standing) == pytest.approx(1100, abs=5)
    for speed in (0.6, 2.4):
        plateau = [t for t in at if belt.speed_m_per_s(t) == pytest.approx(speed)]
        assert (plateau[-1] - plateau[0]) * speed / 0.08 >= 98
    assert belt.time_at_s((parts - 1) * 80) < 100


def example(**changes) -> ProfileReport:
    records = [part(number) for number in range(100)]
    values = {
        "version": "0",
        "host": "h<b>",
        "at": "t",
        "line": "l",
        "source": "twin",
        "m_per_s": 1.2,
        "parts": 100,
        "budget_ms": 15.0,
        "stages": stage_spreads(records),
        "latency_ms": spread([5 * MS] * 100),
        "budget_use": 0.3,
        "overruns": overruns(records, {"loop": watch(), "actuation": watch()}),
        "warm_up_ms": (5.0, 4.0),
        "idle_gap": idle_gaps([part(0), part(40)], (1.0,)),
        "sweep": speed_steps(records, [1.2]),
        "max_speed_m_per_s": 1.2,
        "machine": watch().summary(),
    }
    return ProfileReport.model_validate({**values, **changes})


def test_the_page_needs_nothing_but_itself():
    text = page(example(), [part(number) for number in range(100)])
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert "h&lt;b&gt;" in text
    assert text.count("<svg") == text.count("</svg>") == 4


def test_the_trace_is_json_whose_spans_follow_each_other():
    records = [part(number, classifier_ms=2 + number) for number in range(80)]
    found = json.loads(json.dumps(trace(records, "line")))
    spans = [event for event in found["traceEvents"] if event["ph"] == "X"]
    assert {span["args"]["part"] for span in spans} == set(range(16, 80))
    assert min(span["dur"] for span in spans) >= 0
    one = sorted((span for span in spans if span["args"]["part"] == 20), key=lambda span: span["ts"])
    assert [span["name"] for span in one][:3] == ["frame", "wake", "preprocess"]
    assert all(b["ts"] >= a["ts"] + a["dur"] - 0.001 for a, b in pairwise(one))


def test_compare_finds_what_became_slower_and_lets_trifles_be(tmp_path):
    slow = {**example().stages, "gate": spread([2 * MS] * 100), "wake": spread([30_000] * 100)}
    for name, report in (("a", example()), ("b", example(stages=slow))):
        (tmp_path / f"{name}.json").write_text(report.model_dump_json())
    before, after = load(tmp_path / "a.json"), load(tmp_path / "b.json")
    assert {row.name for row in compare(before, after) if row.worse(0.15)} == {"gate"}
    assert not any(row.worse(0.15) for row in compare(after, before))
    bench = Bench(tmp_path)
    assert "slower" in bench.run("profile", "compare", "a.json", "b.json", code=1)
    bench.run("profile", "compare", "b.json", "a.json")
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(RecordError, match=r"c\.json: .*expected a report of edge profile"):
        load(tmp_path / "c.json")
    assert "expected two" in bench.run("profile", "compare", "a.json", code=2)


@pytest.mark.line
def test_a_line_is_profiled_as_a_user_would(tmp_path):
    demo = Path("examples/demo.yaml").resolve()
    files = ("--report", "p.json", "--html", "p.html", "--trace", "t.json")
    output = Bench(tmp_path).run(
        "profile", demo, "--parts", "40", "--sweep", "1.2", "--sweep-parts", "20", "--gaps", "1", *files
    )
    assert "after a rest of 1" in output
    report = json.loads((tmp_path / "p.json").read_text())
    jsonschema.validate(report, json.loads(Path("docs/profile.schema.json").read_text()))
    assert report["parts"] == 40
    assert {"wake", "preprocess", "gate", "handover", "plc_write"} <= set(report["stages"])
    assert [step["m_per_s"] for step in report["sweep"]] == [1.2]
    assert report["machine"]["voluntary_switches"] > 0
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]


def test_bad_orders_are_refused_before_anything_runs(tmp_path):
    bench, demo = Bench(tmp_path), Path("examples/demo.yaml").resolve()
    assert "its folder does not exist" in bench.run("profile", demo, "--report", "no/where.json", code=2)
    assert "expected numbers with commas" in bench.run("profile", demo, "--gaps", "1;2", code=2)
    assert "expected one" in bench.run("profile", demo, demo, code=2)
