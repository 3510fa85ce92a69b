import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from edge import _core
from edge._core import Reason, Route, Verdict
from edge.config import example_path, load_line
from edge.energy.arms import CLASSIFIER, GATE, HYBRID, arms
from edge.energy.figures import Passage, ratios, run_figures
from edge.energy.page import page
from edge.energy.report import EnergyReport, Run
from edge.energy.run import Plan, compare_arms
from edge.errors import ConfigError, EdgeError
from edge.plc.settings import PlcSettings
from edge.service.telemetry.reading import Reading
from edge.service.telemetry.sensors import Sensors
from tests.test_line import Bench

MS, S = 1_000_000, 1_000_000_000
DEMO = example_path("demo.yaml")


def part(at_s: float, gate_ms: float, classifier_ms: float = 0.0):
    record = np.zeros(1, _core.PART_RECORD_DTYPE)[0]
    begin = round(at_s * S)
    record["triggered_ns"] = begin - 3 * MS
    record["gate_in_ns"], record["gate_out_ns"] = begin, begin + round(gate_ms * MS)
    end = int(record["gate_out_ns"])
    if classifier_ms:
        record["classifier_in_ns"], record["classifier_out_ns"] = end, end + round(classifier_ms * MS)
        end += round(classifier_ms * MS)
    record["route"] = Route.CLASSIFIER if classifier_ms else Route.GATE
    record["decided_ns"], record["ack_ns"] = end, end + MS
    record["final_verdict"], record["final_reason"] = Verdict.PASS, Reason.NONE
    return record


def looks(*watts: float, begin_s: float = 0.0, step_s: float = 0.5) -> list[Reading]:
    return [Reading(round((begin_s + n * step_s) * S), {"VDD_IN": value}) for n, value in enumerate(watts)]


def passage(arm: str, parts: list, watts: float) -> Passage:
    return Passage(arm, parts, looks(6, 6, 6, begin_s=-2), looks(*[watts] * 5))


def test_joules_by_hand():
    parts = [part(0.1, 10), part(0.5, 10, 40), part(1.0, 10), part(1.5, 10)]
    found = run_figures(passage(HYBRID, parts, 10))
    assert found.engines_j == pytest.approx(10 * 0.080 / 4)
    assert found.routes["gate"].engines_j == pytest.approx(0.1)
    assert found.routes["classifier"].engines_j == pytest.approx(0.5)
    assert (found.routes["gate"].parts, found.routes["classifier"].parts) == (3, 1)
    seconds = 1.511 - 0.097
    assert found.seconds == pytest.approx(seconds, abs=0.001)
    assert (found.watts, found.rest_watts, found.engine_ms) == pytest.approx((10, 6, 20))
    assert found.line_j == pytest.approx(10 * seconds / 4)
    assert found.above_rest_j == pytest.approx(4 * seconds / 4)
    assert found.verdicts == {"pass": 4}


def test_power_that_rises_is_taken_under_each_part():
    found = run_figures(
        Passage(GATE, [part(0.5, 100), part(1.5, 100)], looks(1, 1), looks(0, 10, 20, 30, 40))
    )
    assert found.engines_j == pytest.approx((0.1 * 11 + 0.1 * 31) / 2)


def rounds() -> list[dict[str, Run]]:
    return [
        {
            HYBRID: run_figures(passage(HYBRID, [part(0.5, 10), part(1.0, 10, 20)], watts)),
            CLASSIFIER: run_figures(passage(CLASSIFIER, [part(0.5, 40), part(1.0, 40)], watts)),
            GATE: run_figures(passage(GATE, [part(0.5, 10), part(1.0, 10)], watts)),
        }
        for watts in (10, 20, 30)
    ]


def test_ratios_are_taken_within_a_round():
    found = {(one.arm, one.over): one.ratio for one in ratios(rounds()) if one.figure == "engines_j"}
    assert found[HYBRID, CLASSIFIER].median == pytest.approx(20 / 40)
    assert found[HYBRID, CLASSIFIER].max == pytest.approx(found[HYBRID, CLASSIFIER].min), "drift cancels"
    assert found[HYBRID, GATE].median == pytest.approx(2)
    assert list(rounds()[0][CLASSIFIER].routes) == ["classifier"], "though it runs in the gate's place"


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        (looks(9, 9), "do not cover"),
        (looks(9, 9, 9, begin_s=1), "do not cover"),
        ([Reading(0), Reading(9 * S)], "0 looks"),
    ],
)
def test_power_that_was_not_told_all_the_time_is_no_figure(readings, words):
    with pytest.raises(EdgeError, match=words):
        run_figures(Passage(HYBRID, [part(0.9, 10), part(1.9, 10)], looks(6, 6), readings))


def test_the_arms_change_who_judges_and_leave_no_trace():
    config = load_line(DEMO)
    found = arms(config)
    assert found[HYBRID].engines == config.engines
    assert (found[GATE].engines.gate, found[GATE].engines.classifier) == (config.engines.gate, None)
    alone = found[CLASSIFIER]
    assert (alone.engines.gate, alone.engines.classifier) == (config.engines.classifier, None)
    assert [step.gate_good for step in alone.routing] == [step.classifier_good for step in config.routing]
    assert alone.scores.gate == config.scores.classifier
    for line in found.values():
        assert (line.certificate, line.records.journal, line.report.wanted) == (None, None, False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"plc": PlcSettings(kind="tcp", host="10.0.0.1")}, "plc.kind is tcp.*must not reach an ejector"),
        ({"engines": {"classifier": None}}, "engines.classifier: none found"),
    ],
)
def test_a_line_that_must_not_be_compared(change, words):
    config = load_line(DEMO)
    if "engines" in change:
        change = {"engines": config.engines.model_copy(update=change["engines"])}
    with pytest.raises(ConfigError, match=words):
        arms(config.model_copy(update=change))


def test_a_machine_without_rails_says_so_and_runs_nothing(tmp_path):
    with pytest.raises(EdgeError, match=r"not measurable here, no rail.*INA3221"):
        compare_arms(load_line(DEMO), Plan(), Sensors(tmp_path), print, lambda _name, _share: None)


@pytest.mark.skipif(Sensors().known, reason="this machine tells its power")
def test_the_command_where_there_is_no_rail(tmp_path):
    said = Bench(tmp_path).run("energy", DEMO, "--report", "e.json", code=2)
    assert "not measurable here, no rail" in said
    assert not (tmp_path / "e.json").exists()


SCRIPT = """
import sys
from pathlib import Path
from edge.config import load_line
from edge.energy.run import Plan, compare_arms
from edge.service.telemetry.sensors import Sensors
plan = Plan(parts=10, rounds=1, rest_s=0.4)
report = compare_arms(load_line(Path(sys.argv[1])), plan, Sensors(Path(sys.argv[2])), print, lambda *_: None)
Path(sys.argv[3]).write_text(report.model_dump_json())
"""


@pytest.mark.line
def test_three_ways_to_judge_the_same_parts_on_a_device_that_takes_nine_watts(tmp_path):
    rail = tmp_path / "sys/class/hwmon/hwmon1"
    rail.mkdir(parents=True)
    for name, text in {
        "name": "ina3221",
        "in1_label": "VDD_IN",
        "in1_input": "5000",
        "curr1_input": "1800",
    }.items():
        (rail / name).write_text(text)
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(DEMO), str(tmp_path), str(tmp_path / "e.json")],
        check=True,
        env={**os.environ, "EDGE_RUN_DIR": str(tmp_path / "run")},
    )
    found = json.loads((tmp_path / "e.json").read_text())
    jsonschema.validate(found, json.loads(Path("docs/energy.schema.json").read_text()))
    runs = {run["arm"]: run for run in found["runs"]}
    assert list(runs) == [HYBRID, CLASSIFIER, GATE]
    for run in runs.values():
        assert (run["parts"], sum(run["verdicts"].values())) == (10, 10)
        counts = {name: route["parts"] for name, route in run["routes"].items()}
        assert 0 < sum(counts.values()) <= 10, "a part that came too late for any engine has no route"
        joules = sum(counts[name] * route["engines_j"] for name, route in run["routes"].items())
        assert run["engines_j"] == pytest.approx(joules / sum(counts.values()))
        assert (run["watts"], run["rest_watts"]) == pytest.approx((9, 9))
        assert run["engines_j"] == pytest.approx(9 * run["engine_ms"] / 1e3, rel=1e-6)
        assert run["line_j"] == pytest.approx(9 * run["seconds"] / 10, abs=0.001), "told in whole ms"
        assert run["above_rest_j"] == pytest.approx(0, abs=1e-6)
    assert set(runs[HYBRID]["routes"]) <= {"gate", "classifier"}, "on a slow machine the gate alone"
    assert set(runs[CLASSIFIER]["routes"]) == {"classifier"}
    assert set(runs[GATE]["routes"]) == {"gate"}
    text = page(EnergyReport.model_validate(found))
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert text.count("<svg") == 3
