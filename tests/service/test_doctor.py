import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from edge.plc.settings import PlcSettings
from edge.service.doctor import examine as examining
from edge.service.doctor import processor, surroundings
from edge.service.doctor.finding import Level
from edge.service.doctor.host import Host
from edge.service.doctor.line import plc
from edge.service.doctor.listening import listeners
from tests.plc.faulty_plc import FaultyPlc

DEMO = Path("examples/demo.yaml")
RMEM = "/proc/sys/net/core/rmem_max"


def host(root: Path, files: dict[str, str], **changes) -> Host:
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if "/bin/" in name:
            path.chmod(0o755)
    return Host(root, **{"clock_is_set": lambda: True, "may_run_fifo": lambda: True, **changes})


def nvpmodel(mode: str) -> dict[str, str]:
    program = f"#!/bin/sh\n[ $1 = -q ] && echo 'NV Power Mode: {mode}' && echo 0\n"
    return {"/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3", "/usr/bin/nvpmodel": program}


CLOCK = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
GOVERNOR = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
CARD = {"/sys/class/net/eth0/device/vendor": "x", "/sys/class/net/eth0/operstate": "up\n"}
ROWS = [
    (processor.clock_source, {}, Level.SKIP, ""),
    (processor.clock_source, {CLOCK: "tsc\n"}, Level.PASS, ""),
    (processor.clock_source, {CLOCK: "hpet\n"}, Level.WARN, "tsc=reliable"),
    (processor.governor, {}, Level.SKIP, ""),
    (
        processor.governor,
        {GOVERNOR.format(0): "performance", GOVERNOR.format(1): "performance"},
        Level.PASS,
        "",
    ),
    (
        processor.governor,
        {GOVERNOR.format(0): "performance", GOVERNOR.format(1): "schedutil"},
        Level.WARN,
        "cpupower",
    ),
    (processor.governor, {GOVERNOR.format(0): "schedutil", **nvpmodel("MAXN")}, Level.WARN, "jetson_clocks"),
    (processor.power_mode, {}, Level.SKIP, ""),
    (processor.power_mode, nvpmodel("MAXN_SUPER"), Level.PASS, ""),
    (processor.power_mode, nvpmodel("15W"), Level.WARN, "nvpmodel -m 0"),
    (processor.power_mode, {"/etc/nv_tegra_release": "# R36"}, Level.WARN, "nvpmodel -q"),
    (processor.real_time, {"/proc/sys/kernel/sched_rt_runtime_us": "950000"}, Level.PASS, ""),
    (
        processor.real_time,
        {"/proc/sys/kernel/sched_rt_runtime_us": "0"},
        Level.WARN,
        "sched_rt_runtime_us=950000",
    ),
    (processor.memory_lock, {"/proc/self/status": "CapEff:\t000001ffffffffff\n"}, Level.PASS, ""),
    (processor.swap, {"/proc/swaps": "Filename Type\n"}, Level.PASS, ""),
    (processor.swap, {"/proc/swaps": "Filename Type\n/dev/zram0 partition\n"}, Level.PASS, ""),
    (
        processor.swap,
        {"/proc/swaps": "Filename Type\n/dev/sda2 partition\n"},
        Level.WARN,
        "swapoff /dev/sda2",
    ),
    (surroundings.network_cards, {RMEM: "4194304"}, Level.PASS, ""),
    (surroundings.network_cards, {RMEM: "212992"}, Level.WARN, "net.core.rmem_max=4194304"),
    (surroundings.network_cards, {**CARD, "/sys/class/net/eth0/speed": "100"}, Level.WARN, "ethtool -s eth0"),
    (surroundings.network_cards, {**CARD, "/sys/class/net/eth0/speed": "1000"}, Level.PASS, ""),
    (surroundings.network_cards, {**CARD, "/sys/class/net/eth0/speed": "-1"}, Level.PASS, ""),
]


@pytest.mark.parametrize(("check", "files", "level", "mend"), ROWS)
def test_every_outcome_of_a_made_up_machine(tmp_path, check, files, level, mend):
    found = list(check(host(tmp_path, files)))
    assert [finding.level for finding in found] == [level]
    assert mend in found[0].mend
    assert bool(found[0].mend) is (level in {Level.WARN, Level.FAIL})


def test_real_time_and_time_that_are_refused(tmp_path):
    found = list(processor.real_time(host(tmp_path, {}, may_run_fifo=lambda: False)))
    assert found[0].level is Level.WARN
    assert "rtprio" in found[0].mend
    found = list(surroundings.time_sync(host(tmp_path, {}, clock_is_set=lambda: False)))
    assert found[0].level is Level.WARN


def test_asking_for_real_time_leaves_this_process_as_it_is():
    before = os.sched_getscheduler(0)
    Host().may_run_fifo()
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_who_listens_is_read_from_the_kernel(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            pytest.skip(f"no {address} here")
        sock.listen()
        port = sock.getsockname()[1]
        mine = [
            one
            for one in listeners(Host(), lambda command: "pytest" in " ".join(command))
            if one.port == port
        ]
    assert [(one.address, one.loopback) for one in mine] == [(address, address != "0.0.0.0")]


def test_a_plc_is_read_and_never_written():
    with FaultyPlc() as server:
        server.registers[64:72] = [5, 1, 0, 1200, 0, 777, 0, 0]
        finding = plc(PlcSettings(kind="tcp", port=server.port))
    assert finding.level is Level.PASS
    assert "RUNNING, 1200 mm/s, encoder 777" in finding.found
    assert {function for _, function, _ in server.requests} == {3}


def test_registers_that_are_no_reject_gate_are_told():
    with FaultyPlc() as server:
        server.registers[64:72] = [9] * 8
        finding = plc(PlcSettings(kind="tcp", port=server.port))
    assert finding.level is Level.WARN
    assert "unknown state 9" in finding.found


def test_a_plc_that_is_not_there_fails():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        finding = plc(PlcSettings(kind="tcp", port=sock.getsockname()[1], reconnect_max_ms=50))
    assert finding.level is Level.FAIL


def test_a_check_that_breaks_is_a_finding_and_not_the_end(monkeypatch):
    def broken(_host):
        raise ZeroDivisionError("x")
        yield

    monkeypatch.setattr(examining, "CHECKS", (broken, surroundings.versions))
    report = examining.examine(Host(), None)
    assert [finding.level for finding in report.findings] == [Level.WARN, Level.PASS]
    assert "ZeroDivisionError" in report.findings[0].found


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "doctor", *arguments], capture_output=True, text=True, check=False
    )


def test_json_follows_the_published_schema():
    done = doctor(str(DEMO), "--json")
    report = json.loads(done.stdout)
    jsonschema.validate(report, json.loads(Path("docs/doctor.schema.json").read_text()))
    assert report["line"] == "demo"
    names = {finding["check"] for finding in report["findings"]}
    assert {"real_time", "engines", "certificate", "camera", "plc", "versions", "journal_room"} <= names
    assert done.returncode == (report["worst"] == "fail")


def test_a_bad_line_file_fails_with_its_line(tmp_path):
    bad = tmp_path / "line.yaml"
    bad.write_text(DEMO.read_text().replace("cap_ms: 15", "cap_ms: -1"))
    done = doctor(str(bad), "--json")
    assert done.returncode == 1
    finding = next(f for f in json.loads(done.stdout)["findings"] if f["check"] == "line_file")
    assert "budget.cap_ms" in finding["found"]
