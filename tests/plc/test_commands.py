"""``edge plc`` as a person at the bench uses it."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plc.faulty_plc import FaultyPlc
from tests.plc.line_rig import rig, twin, until

EDGE = [sys.executable, "-m", "edge.cli", "plc"]


def edge(*arguments: object, code: int | None = 0, answer: str = "") -> str:
    done = subprocess.run(
        [*EDGE, *map(str, arguments)], capture_output=True, text=True, timeout=60, input=answer, check=False
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_map_is_the_table_of_the_manual_and_a_csv_of_the_same():
    assert "| 32 | `sequence` | u32 |" in edge("map")
    rows = list(csv.DictReader(io.StringIO(edge("map", "--format", "csv"))))
    of_name = {(row["block"], row["name"]): row for row in rows}
    assert (of_name["verdict", "commit"]["address"], of_name["verdict", "commit"]["type"]) == ("43", "u16")
    assert of_name["plc", "encoder"]["word_order"] == "big"
    assert of_name["coil", "ejector"]["address"] == "0"


def test_map_has_the_addresses_of_the_line(tmp_path):
    text = (Path(__file__).parents[2] / "examples" / "demo.yaml").read_text()
    line = tmp_path / "line.yaml"
    line.write_text(text.replace("  mode: pulse", "  verdict_base: 132\n  mode: pulse"))
    assert "| 132 | `sequence` |" in edge("map", line)
    edge("map", line, "--format", "csv", "--out", tmp_path / "map.csv")
    assert ",143,1,commit," in (tmp_path / "map.csv").read_text()


def test_watch_shows_the_registers_and_only_reads():
    with FaultyPlc() as plc:
        plc.registers[65], plc.registers[3] = 2, 1
        shown = edge("watch", "--port", plc.port, "--once")
        assert "2 DIVERTING" in shown
        assert " READY " in shown
        assert {function for _, function, _ in plc.requests} == {3}


def test_jog_asks_first_and_pulses_once():
    with FaultyPlc() as plc:
        edge("jog", "--port", plc.port, code=1, answer="n\n")
        assert not [function for _, function, _ in plc.requests if function != 3]
        assert "both edges acknowledged" in edge("jog", "--port", plc.port, answer="y\n")
        assert [data for _, function, data in plc.requests if function == 5] == [
            b"\x00\x00\xff\x00",
            b"\x00\x00\x00\x00",
        ]


def test_jog_switches_the_coil_off_over_a_new_connection_when_the_plc_hangs_up():
    with FaultyPlc() as plc:
        hang_up = iter([plc.hang_up])
        plc.meanwhile = lambda function, _: next(hang_up, int)() if function == 3 and plc.coils[0] else None
        said = edge("jog", "--port", plc.port, "--yes", "--pulse-ms", 300)
        assert "both edges acknowledged" in said
        assert not plc.coils[0]
        assert plc.connections > 1


def test_watch_of_a_line_with_handshake_shows_those_blocks():
    line = Path(__file__).parents[2] / "examples" / "demo.yaml"
    with FaultyPlc() as plc:
        plc.registers[16], plc.registers[72] = 5, 1
        shown = edge("watch", line, "--port", plc.port, "--once")
    for words in (
        "handshake_bits",
        "5",
        "TRIGGER_READY",
        "RESULTS_VALID",
        "unconfirmed_rejects",
        "RESET_ERROR",
    ):
        assert f" {words} " in shown


@pytest.mark.parametrize("command", ["jog", "latency"])
def test_nothing_is_written_beside_a_running_line(tmp_path, command):
    with twin() as plc, rig(tmp_path, plc.port) as line:
        until(lambda: line.status.line_ready == 1)
        assert "stop the line first" in edge(
            command, "--port", plc.port, *(["--yes"] if command == "jog" else []), code=2
        )


def test_latency_judges_the_budget_and_writes_only_the_status_block(tmp_path):
    with FaultyPlc() as plc:
        said = edge(
            "latency", "--port", plc.port, "--writes", 200, "--report", tmp_path / "r.json", code=None
        )
        writes = [data for _, function, data in plc.requests if function == 16]
    report = json.loads((tmp_path / "r.json").read_text())
    # On a busy machine it need not hold; what is said must follow from what was measured.
    assert report["holds"] == (report["failed"] == 0 and report["round_trip_ms"]["p999"] <= 5.0)
    assert ("the budget holds" in said) == report["holds"]
    assert report["writes"] == 200
    assert sum(bucket["count"] for bucket in report["histogram"]) == 200 - report["failed"]
    figures = report["round_trip_ms"]
    assert 0 < figures["p50"] <= figures["p90"] <= figures["p99"] <= figures["p999"] <= figures["max"]
    assert {data[:4] for data in writes} == {b"\x00\x00\x00\x10"}
    assert len({data[5:9] for data in writes}) == 1, "the heartbeat must not move"
    assert not [function for _, function, _ in plc.requests if function == 5]


def test_latency_of_a_slow_plc_does_not_hold(tmp_path):
    with FaultyPlc("slow", delay_s=0.008) as plc:
        said = edge("latency", "--port", plc.port, "--writes", 30, "--report", tmp_path / "r.json", code=1)
    assert "the budget does not hold" in said
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["holds"] is False
    assert report["round_trip_ms"]["p50"] >= 8


def test_latency_counts_what_was_not_answered(tmp_path):
    with FaultyPlc("exception") as plc:
        said = edge("latency", "--port", plc.port, "--writes", 10, code=2)
    assert "could not be read: exception 4" in said


def test_no_plc_is_a_clear_error():
    with FaultyPlc() as plc:
        port = plc.port
    assert "no PLC at 127.0.0.1" in edge("watch", "--port", port, "--once", code=2)
    assert "which PLC?" in edge("watch", code=2)


def test_sim_runs_a_plc_with_its_panel():
    shown = edge("sim", "--port", 0, "--once")
    assert "1200" in shown
    assert "PULSE" in shown
