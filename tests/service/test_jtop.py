"""Against the real service of jetson-stats, in a mount namespace of its own whose /sys is that of an Orin."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge.report.settings import ReportSettings
from edge.service.doctor.host import Host
from edge.service.telemetry.jtop import Jtop, SensorsAndJtop
from edge.service.telemetry.reading import Reading
from edge.service.telemetry.sensors import Sensors
from edge.service.telemetry.sink import PERIOD_NS, Telemetry

CHANNEL = "bus/i2c/devices/1-0040/hwmon/hwmon1"
SYS = {
    "bus/i2c/devices/1-0040/name": "ina3221",
    f"{CHANNEL}/in1_label": "VDD_IN",
    f"{CHANNEL}/in1_input": "5000",
    f"{CHANNEL}/curr1_input": "1800",
    f"{CHANNEL}/in2_label": "VDD_SOC",
    f"{CHANNEL}/in2_input": "5000",
    f"{CHANNEL}/curr2_input": "400",
    "devices/virtual/thermal/thermal_zone0/type": "cpu-thermal",
    "devices/virtual/thermal/thermal_zone0/temp": "51250",
    "devices/virtual/dmi/id/board_name": "bench",
    "devices/system/cpu/cpu0/online": "1",
    "devices/system/cpu/cpu1/online": "1",
    "class/devfreq/17000000.gpu/device/of_node/name": "gpu",
    "class/devfreq/17000000.gpu/device/load": "345",
    "class/devfreq/17000000.gpu/cur_freq": "612000000",
    "class/devfreq/17000000.gpu/max_freq": "612000000",
    "class/devfreq/17000000.gpu/min_freq": "306000000",
    "class/devfreq/17000000.gpu/governor": "nvhost_podgov",
}
INSIDE = """
set -e
mount -t tmpfs tmpfs /run
cp /etc/group /run/group
echo jtop:x:64242: >> /run/group
mount --bind /run/group /etc/group
mount --bind "$1/sys" /sys
cd "$1"
exec "$2" -c "$3"
"""
TALK = """
import json, os, subprocess, sys, threading
from dataclasses import asdict
from pathlib import Path
import logging
from edge._core import now_ns
from edge.service.telemetry.jtop import Jtop, SensorsAndJtop
from edge.service.telemetry.sensors import Sensors

logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
def service():
    code = "import sys; sys.argv = ['jtop', '--force']; from jtop.__main__ import main; main()"
    code = "import sys; sys.prefix = sys.base_prefix = sys.argv[1]; " + code  # where it keeps its configuration
    return subprocess.Popen([sys.executable, "-c", code, os.getcwd()], env={**os.environ, "JTOP_SERVICE": "True"},
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

def until(condition, seconds=30.0):
    end = now_ns() + seconds * 1e9
    while not condition():
        assert now_ns() < end, "did not happen in time"
        threading.Event().wait(0.05)

running = service()
until(lambda: Path("/run/jtop.sock").exists())
source = SensorsAndJtop(Sensors(Path("nothing")), Jtop())
until(lambda: source.read().power_w)
first = source.read()
known = source.known
running.terminate()
running.wait()
until(lambda: not source.read().power_w)
print(json.dumps({"known": known, "first": asdict(first), "known_after": source.known}))
"""


@pytest.mark.skipif(
    find_spec("jtop") is None, reason="jetson-stats is not installed (pip install jetson-stats)"
)
@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace and the service need root")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is missing (Debian: util-linux)")
def test_the_real_service_fills_what_sysfs_does_not_tell_and_may_die(tmp_path):
    for name, text in SYS.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private"]
    done = subprocess.run(
        [*command, "bash", "-c", INSIDE, "bash", str(tmp_path), sys.executable, TALK],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["first"]["power_w"] == {"VDD_SOC": 2.0, "VDD_IN": 9.0}
    assert Reading(0, said["first"]["power_w"]).total_w == 9.0
    assert said["first"]["temperature_c"] == {"cpu": 51.25}
    assert (said["first"]["gpu_load"], said["first"]["gpu_mhz"]) == (0.345, 612.0)
    assert (said["known"], said["known_after"]) == (True, False), "the line goes on with sysfs alone"
    assert "jetson-stats:" in done.stderr


@pytest.mark.skipif(find_spec("jtop") is not None, reason="jetson-stats is installed")
def test_without_the_library_sysfs_alone_is_read(caplog):
    jtop = Jtop()
    assert "pip install 'edge-inspection[jetson]'" in caplog.text
    assert jtop.reading(0) is None
    assert SensorsAndJtop(Sensors(Path("nothing")), jtop).read().power_w == {}


def test_jtop_without_telemetry_is_a_mistake():
    with pytest.raises(ValueError, match=r"jtop: true without telemetry.*set telemetry: true"):
        ReportSettings(jtop=True)


class Told:
    """A source that tells what it was given, one reading a look."""

    known, why_unknown = True, ""

    def __init__(self, *modes: str | None) -> None:
        self.left = list(modes)

    def read(self) -> Reading:
        return Reading(PERIOD_NS, power_mode=self.left.pop(0))


def test_a_power_mode_that_changes_while_the_line_runs_is_an_event(tmp_path):
    notes: list[str] = []
    modes = Told(None, "MAXN", None, "15W", "15W")
    telemetry = Telemetry(modes, Host(tmp_path), lambda kind, text, _at=None: notes.append(f"{kind}: {text}"))
    while modes.left:
        telemetry.tick((6 - len(modes.left)) * PERIOD_NS)
    assert notes[1:] == ["power: the power mode is 15W, was MAXN"]
