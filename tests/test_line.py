"""Whole lines: the real processes, a real Modbus link, twin parts. Every row counts parts and verdicts."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from edge.config import example_path

pytestmark = pytest.mark.line
EDGE = [sys.executable, "-m", "edge.cli"]


class Bench:
    """Runs ``edge`` in a run folder of its own, so that tests do not meet each other or a line of the user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "EDGE_RUN_DIR": str(folder / "run")}
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*EDGE, *map(str, arguments)],
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def run(self, *arguments: str | Path, code: int = 0, timeout_s: float = 120) -> str:
        output, _ = self.start(*arguments).communicate(timeout=timeout_s)
        assert self.running[-1].returncode == code, output
        return output

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "r.json").read_text(encoding="utf-8"))
        return found

    def pid_of(self, *words: str) -> int:
        """The process of this bench whose command line holds all the words."""
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(self.folder) in command and all(f" {word} " in f"{command} " for word in words):
                return int(entry.name)
        return 0


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for process in bench.running:
        if process.poll() is None:
            process.kill()
        process.wait()


def check_counts(report: dict[str, Any], parts: int) -> None:
    """Every part has exactly one verdict, and none was lost on the way."""
    assert report["parts"] == parts
    assert sum(report["verdicts"].values()) == parts
    assert report["duplicate_verdicts"] == 0
    assert report["lost_records"] == 0
    assert report["plc"]["twice"] == 0
    assert sum(report["reasons"].values()) == report["verdicts"]["reject"]


def parts_decided(bench: Bench, name: str = "demo") -> int:
    from edge import _core

    path = bench.folder / "run" / f"edge-{os.getuid()}-{name}" / "region"
    try:
        return _core.Region.attach(str(path)).status.parts_decided
    except _core.CoreError:
        return 0


def test_demo_gives_every_part_one_verdict_and_drops_it_in_the_right_bin(bench: Bench) -> None:
    output = bench.run("demo", "--parts", "40", "--seed", "11", "--report", "r.json")
    report = bench.report()
    check_counts(report, 40)
    schema = json.loads(
        (Path(__file__).parent.parent / "docs/report.schema.json").read_text(encoding="utf-8")
    )
    jsonschema.validate(report, schema)
    assert report["truth"]["known"] and report["truth"]["defective"] + report["truth"]["good"] == 40
    assert report["truth"]["escapes"] == 0
    assert report["bins"]["missed"] == 0 and report["bins"]["unknown"] == 0
    assert report["plc"]["writes"] == 40 and report["plc"]["never"] == 0
    assert report["latency_ms"]["max"] >= report["latency_ms"]["p50"] > report["engine_ms"]["p50"]
    assert "40 parts" in output


def test_tracked_mode_and_a_speed_profile(bench: Bench) -> None:
    text = example_path("demo.yaml").read_text(encoding="utf-8").replace("mode: pulse", "mode: tracked")
    (bench.folder / "line.yaml").write_text(text, encoding="utf-8")
    process = bench.start("run", "line.yaml", "--report", "r.json")
    wait_for(lambda: parts_decided(bench) >= 15)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    report = bench.report()
    assert report["parts"] == sum(report["verdicts"].values()) >= 15
    assert report["bins"]["missed"] == 0


def test_killed_inspection_rejects_what_is_in_flight_and_comes_back(bench: Bench) -> None:
    process = bench.start("demo", "--parts", "120", "--seed", "5", "--report", "r.json")
    wait_for(lambda: parts_decided(bench) >= 10)
    os.kill(bench.pid_of("edge.inspection.process"), signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    report = bench.report()
    check_counts(report, 120)
    assert report["reasons"]["no_verdict"] > 0
    assert report["restarts"]["inspection"] == 1
    assert report["truth"]["escapes"] == 0 and report["bins"]["missed"] == 0
    assert report["verdicts"]["pass"] > 0
    assert "inspection ended with -9 and was started again" in output


def test_killed_plc_costs_no_verdict_and_the_link_comes_back(bench: Bench) -> None:
    """With a budget that any machine holds, so that the parts of the outage are passes to the loop."""
    text = example_path("demo.yaml").read_text(encoding="utf-8")
    text = text.replace("cap_ms: 15", "cap_ms: 100").replace("window_mm: 18", "window_mm: 120")
    (bench.folder / "line.yaml").write_text(text, encoding="utf-8")
    process = bench.start("run", "line.yaml", "--report", "r.json")
    wait_for(lambda: parts_decided(bench) >= 10)
    os.kill(bench.pid_of("tools.twin", "plc"), signal.SIGKILL)
    wait_for(lambda: parts_decided(bench) >= 110)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    report = bench.report()
    check_counts(report, report["parts"])
    assert report["parts"] >= 110
    assert report["plc"]["unconfirmed"] > 0
    assert report["plc"]["reconnects"] >= 1
    assert report["reasons"]["plc_silent"] > 0
    assert report["truth"]["escapes"] == 0 and report["bins"]["missed"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_line_cleanly(bench: Bench, number: signal.Signals) -> None:
    process = bench.start("demo", "--parts", "5000", "--report", "r.json")
    wait_for(lambda: parts_decided(bench) >= 5)
    os.killpg(process.pid, number)  # as Ctrl-C in a terminal: everybody who has not left its group hears it
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert bench.report()["lost_records"] == 0
    assert sum(bench.report()["verdicts"].values()) >= 5
    wait_for(lambda: bench.pid_of("edge.plc.process") == 0 and bench.pid_of("tools.twin") == 0)
    assert not (bench.folder / "run" / f"edge-{os.getuid()}-demo" / "region").exists()


def test_a_second_start_of_the_same_line_is_refused(bench: Bench) -> None:
    bench.start("demo", "--parts", "5000")
    wait_for(lambda: parts_decided(bench) >= 1)
    output = bench.run("demo", code=2)
    assert "line 'demo' is running already" in " ".join(output.split())


def test_foreign_pictures_of_odd_sizes_each_get_a_verdict(bench: Bench) -> None:
    folder = bench.folder / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for index, shape in enumerate([(222, 103), (7, 5), (200, 200), (403, 632, 3), (1, 1)]):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(60, 180, shape, np.uint8))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    output = bench.run("run", example_path("replay.yaml"), "--images", folder, "--report", "r.json")
    report = bench.report()
    check_counts(report, 6)
    assert report["reasons"]["frame_corrupt"] == 1
    assert not report["truth"]["known"]
    assert "6 parts" in output


def test_a_recording_replays_without_a_difference(bench: Bench) -> None:
    bench.run("demo", "--parts", "30", "--seed", "9", "--record", "recorded", "--report", "r.json")
    output = bench.run("replay", "recorded")
    assert "30 parts compared, 0 differ" in output


def test_no_plc_at_the_start_is_waited_for(bench: Bench) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pictures = bench.folder / "pictures"
    pictures.mkdir()
    for index in range(5):
        cv2.imwrite(str(pictures / f"{index}.png"), np.full((64, 64), 120, np.uint8))
    text = example_path("replay.yaml").read_text(encoding="utf-8")
    text = text.replace("kind: twin", f"kind: tcp\n  port: {port}")
    (bench.folder / "line.yaml").write_text(text, encoding="utf-8")
    process = bench.start("run", "line.yaml", "--report", "r.json")
    log = bench.folder / "run" / f"edge-{os.getuid()}-replay" / "actuation.log"
    wait_for(lambda: log.is_file() and f"no PLC at 127.0.0.1:{port}" in log.read_text(encoding="utf-8"))
    assert parts_decided(bench, "replay") == 0
    plc = subprocess.Popen(
        [sys.executable, "-m", "tools.twin", "plc", "--port", str(port)], stdout=subprocess.DEVNULL
    )
    try:
        output, _ = process.communicate(timeout=60)
    finally:
        plc.kill()
        plc.wait()
    assert process.returncode == 0, output
    check_counts(bench.report(), 5)
    assert bench.report()["plc"]["writes"] == 5


def test_a_port_in_use_and_a_bad_engine_are_said_clearly(bench: Bench) -> None:
    text = example_path("demo.yaml").read_text(encoding="utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = text.replace(
            "  kind: twin                     # tcp", f"  port: {taken.getsockname()[1]}\n  kind: twin # tcp"
        )
        (bench.folder / "busy.yaml").write_text(busy, encoding="utf-8")
        output = bench.run("run", "busy.yaml", code=2)
    assert "in use" in output
    (bench.folder / "gate.yaml").write_text("schema: 1\nname: gate\n", encoding="utf-8")
    (bench.folder / "bad.yaml").write_text(
        text.replace("gate: shipped:gate_detector", "gate: gate.yaml"), encoding="utf-8"
    )
    output = bench.run("check", "bad.yaml", code=2)
    assert "gate.yaml" in output and "sha256" in output


def test_version_and_check(bench: Bench) -> None:
    assert bench.run("--version").startswith("edge 0.")
    output = bench.run("check", example_path("demo.yaml"))
    assert "15.0 ms at 1.2 m/s" in output and "can run" in output
    schema = json.loads(bench.run("check", "--schema"))
    assert schema["properties"].keys() >= {"camera", "plc", "routing", "engines"}
