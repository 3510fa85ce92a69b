import json
import socket
import urllib.request

import numpy as np
import pytest

from edge import _core
from edge._core import PlcResult, Reason, Route, Verdict
from edge.errors import ConfigError
from edge.report.continuous import WORST, ContinuousProfile
from edge.report.metrics import BUCKETS_S, Metrics
from edge.report.settings import MetricsSettings
from tests.records.finished_parts import FAR_NS, Source, journal_of

parser = pytest.importorskip("prometheus_client.parser")
MS = 1_000_000


def part(number: int, gate_ms: float, *, late: bool = False):
    record = np.zeros(1, _core.PART_RECORD_DTYPE)
    begin = 10**12 + number * 80 * MS
    after = {"triggered_ns": 0.0, "received_ns": 3.0, "started_ns": 3.1, "gate_in_ns": 3.3}
    after["gate_out_ns"] = 3.3 + gate_ms
    for name, more in (("decided_ns", 0.1), ("queued_ns", 0.2), ("sent_ns", 0.3), ("ack_ns", 0.5)):
        after[name] = after["gate_out_ns"] + more
    for name, ms in after.items():
        record[name] = begin + round(ms * MS)
    record["part_id"], record["route"], record["plc_result"] = number, Route.GATE, PlcResult.ACKED
    record["final_verdict"] = Verdict.REJECT if late else Verdict.PASS
    record["final_reason"] = Reason.OVERRUN if late else Reason.NONE
    return record


@pytest.fixture
def profile(tmp_path):
    return ContinuousProfile("line1", tmp_path / "live.json")


@pytest.fixture
def status(tmp_path):
    region = _core.Region.create(str(tmp_path / "region"), frame_slots=2, slot_bytes=4096)
    yield region.status


def scrape(metrics: Metrics) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_says_what_the_records_say(profile, status):
    metrics = Metrics(MetricsSettings(port=0), profile, status)
    try:
        for number in range(90):
            profile.add(part(number, 1.0))
        for number in range(90, 100):
            profile.add(part(number, 30.0, late=True))
        status.plc_unconfirmed, status.line_ready = 7, 1
        found = scrape(metrics)
    finally:
        metrics.close()
    assert found["inspect_parts_total", "verdict=pass"] == 90
    assert found["inspect_parts_total", "verdict=reject"] == 10
    assert found["inspect_rejects_total", "reason=overrun"] == 10
    assert found["inspect_overruns_total", "stage=gate"] == 10
    assert found[("inspect_plc_unconfirmed_total",)] == 7
    assert found[("inspect_ready",)] == 1
    gate = ("route=gate", "stage=gate")
    assert found[("inspect_stage_duration_seconds_count", *gate)] == 100
    assert found[("inspect_stage_duration_seconds_sum", *gate)] == pytest.approx(0.39)
    assert found[("inspect_stage_duration_seconds_bucket", "le=0.002", *gate)] == 90
    assert found[("inspect_stage_duration_seconds_bucket", "le=0.05", *gate)] == 100
    assert found[("inspect_stage_quantile_seconds", "quantile=0.5", *gate)] == pytest.approx(0.001, rel=0.01)
    assert found[("inspect_stage_quantile_seconds", "quantile=0.99", *gate)] == pytest.approx(0.03, rel=0.01)


def test_a_journal_that_cannot_be_written_is_seen(profile, status, tmp_path):
    source, path = Source(tmp_path), tmp_path / "j.sqlite"
    journal = journal_of(source, path)
    metrics = Metrics(MetricsSettings(port=0), profile, status, journal=journal)
    try:
        source.add(3)
        journal._journal._db.execute("PRAGMA query_only = 1")
        journal.tick(FAR_NS)
        held = scrape(metrics)
        journal._journal._db.execute("PRAGMA query_only = 0")
        journal.tick(2 * FAR_NS)
        after = scrape(metrics)
    finally:
        metrics.close()
        journal.close()
    names = (
        "inspect_journal_paused",
        "inspect_journal_waiting_records",
        "inspect_journal_lost_records_total",
    )
    assert [held[(name,)] for name in names] == [1, 3, 0]
    assert [after[(name,)] for name in names] == [0, 0, 0]


def test_buckets_count_what_is_at_most_their_edge():
    histogram = _core.Histogram()
    for edge in BUCKETS_S:
        histogram.add(round(edge * 1e9 * 0.98))
        histogram.add(round(edge * 1e9 * 1.02))
    assert [histogram.below(round(edge * 1e9)) for edge in BUCKETS_S] == [
        2 * i + 1 for i in range(len(BUCKETS_S))
    ]


def test_the_slowest_parts_are_kept_and_no_more(profile, tmp_path):
    for number in range(500):
        profile.add(part(number, 1 + (number * 37 % 500) / 10))
    profile.tick(1)
    found = json.loads((tmp_path / "live.json").read_text())
    parts = {event["args"]["part"]: event for event in found["trace"]["traceEvents"] if event["ph"] == "X"}
    assert len(parts) == WORST
    assert set(parts) == {number for number in range(500) if number * 37 % 500 >= 500 - WORST}
    assert found["parts"] == 500
    assert found["latency_ms"]["count"] == 500


def test_a_verdict_that_came_too_late_to_be_sent_is_not_counted(profile):
    record = part(1, 1.0)
    record["plc_result"] = PlcResult.SUPERSEDED
    profile.add(record)
    assert not profile.verdicts


def test_a_port_that_is_taken_is_told_with_its_mending(profile, status):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port} cannot be had: .*ss -ltnp"):
            Metrics(MetricsSettings(port=port), profile, status)
