"""The twin of a whole line as processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plc.line_rig import until

pytestmark = pytest.mark.line


@pytest.fixture
def line(tmp_path):
    command = [sys.executable, "-m", "tools.twin", "line", "--parts", "4", "--seed", "3", "--plc-port", "0"]
    command += ["--world", str(tmp_path / "world"), "--camera-socket", str(tmp_path / "camera.sock")]
    command += ["--report", str(tmp_path / "report.json")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def ready_port(process: subprocess.Popen) -> int:
    line = process.stdout.readline()
    assert line.startswith("ready port="), line
    return int(line.split("=")[1])


def children(pid: int) -> dict[str, int]:
    """name of the twin process → its pid."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {
        Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[3].decode(): int(child) for child in pids
    }


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_killed_plc_comes_back_on_its_port_and_the_report_counts_it(line, tmp_path):
    port = ready_port(line)
    os.kill(children(line.pid)["plc"], signal.SIGKILL)
    until(lambda: not listens(port))
    until(lambda: listens(port), 20)
    line.send_signal(signal.SIGTERM)
    assert line.wait(20) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["plc"]["restarts"] == 1
    assert [part["id"] for part in report["parts"]] == [1, 2, 3, 4]
    assert all(part["verdict_count"] == 0 and part["bin"] == 0 for part in report["parts"])
    assert set(report["parts"][0]) == {
        *("id", "class", "severity", "verdict", "verdict_count", "bin", "crossing_ns", "late")
    }


def test_dead_camera_ends_the_twin_with_an_error(line):
    ready_port(line)
    os.kill(children(line.pid)["camera"], signal.SIGKILL)
    assert line.wait(20) == 1


def test_children_die_with_the_twin(line):
    port = ready_port(line)
    pids = children(line.pid).values()
    line.kill()
    line.wait()
    until(lambda: not listens(port))
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_existing_world_is_refused(tmp_path):
    (tmp_path / "world").write_bytes(b"mine")
    command = [sys.executable, "-m", "tools.twin", "line", "--world", str(tmp_path / "world")]
    command += ["--camera-socket", str(tmp_path / "camera.sock")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert "Traceback" not in done.stderr
