import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge import _core
from edge._core import PlcResult, Reason, Route, Verdict
from edge.records.journal.query import Filter, JournalReader
from edge.records.journal.settings import JournalSettings
from edge.records.journal.store import RunFacts
from edge.records.journal.throttling import timeline_of
from edge.records.journal.writer import JournalWriter
from edge.report.continuous import ContinuousProfile
from edge.report.metrics import Metrics
from edge.report.settings import MetricsSettings
from edge.service.doctor.host import Host
from edge.service.telemetry.alarms import REST_NS, Alarms
from edge.service.telemetry.beside import LatencyBeside
from edge.service.telemetry.energy import EnergyMeter
from edge.service.telemetry.rails import Rapl
from edge.service.telemetry.reading import Cause, Reading
from edge.service.telemetry.sensors import Sensors
from edge.service.telemetry.sink import PERIOD_NS, Telemetry
from edge.service.telemetry.timeline import Timeline

MS = 1_000_000
ORIN = {
    "class/hwmon/hwmon2/name": "ina3221",
    "class/hwmon/hwmon2/in1_label": "VDD_IN",
    "class/hwmon/hwmon2/in1_input": "5000",
    "class/hwmon/hwmon2/curr1_input": "1800",
    "class/hwmon/hwmon2/in2_label": "VDD_CPU_GPU_CV",
    "class/hwmon/hwmon2/in2_input": "5000",
    "class/hwmon/hwmon2/curr2_input": "700",
    "class/hwmon/hwmon2/in7_label": "Sum of shunt voltages",
    "class/hwmon/hwmon0/name": "pwmfan",
    "class/hwmon/hwmon3/name": "soctherm_oc",
    "class/hwmon/hwmon3/oc3_event_cnt": "4",
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "51250",
    "class/thermal/thermal_zone1/type": "gpu-thermal",
    "class/thermal/thermal_zone1/temp": "",
    "class/thermal/cooling_device0/type": "pwm-fan",
    "class/thermal/cooling_device0/cur_state": "2",
    "class/thermal/cooling_device1/type": "cpu-throttle-alert",
    "class/thermal/cooling_device1/cur_state": "0",
    "class/devfreq/17000000.gpu/cur_freq": "612000000",
    "class/devfreq/17000000.gpu/min_freq": "306000000",
    "class/devfreq/17000000.gpu/max_freq": "612000000",
    "class/devfreq/17000000.gpu/available_frequencies": "306000000 408000000 612000000",
    "devices/platform/17000000.gpu/load": "345",
    "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1510400",
    "devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1510400",
    "devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1510400",
}


COOLING = "class/thermal/cooling_device1/cur_state"
GPU, LOAD = "class/devfreq/17000000.gpu", "devices/platform/17000000.gpu/load"


def put(root: Path, name: str, text: str) -> None:
    path = root / "sys" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def tree(root: Path, **changes: str) -> Path:
    for name, text in {**ORIN, **changes}.items():
        put(root, name, text)
    return root


def test_an_orin_as_its_kernel_shows_it(tmp_path):
    found = Sensors(tree(tmp_path)).read()
    assert found.power_w == {"VDD_IN": 9.0, "VDD_CPU_GPU_CV": 3.5}
    assert found.total_w == 9.0
    assert found.temperature_c == {"cpu-thermal": 51.25}, "a zone that gives no number is left out"
    assert (found.gpu_load, found.gpu_mhz, found.cpu_mhz) == (0.345, 612.0, 1510.4)
    assert found.throttled == ()


def test_a_machine_that_tells_nothing(tmp_path):
    sensors = Sensors(tmp_path)
    assert not sensors.known
    found = sensors.read()
    assert (found.total_w, found.temperature_c, found.throttled) == (None, {}, ())


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("class/thermal/cooling_device1/cur_state", "3", "cooling cpu-throttle-alert: step 3"),
        ("class/hwmon/hwmon3/oc3_event_cnt", "9", "over-current oc3: 5 events"),
        (
            "devices/system/cpu/cpu0/cpufreq/scaling_max_freq",
            "729600",
            "cpu0 lowered: limit 729.6 MHz, was 1510.4",
        ),
        ("class/devfreq/17000000.gpu/max_freq", "306000000", "gpu lowered: limit 306 MHz, was 612"),
    ],
)
def test_what_holds_the_clocks_down(tmp_path, name, text, words):
    sensors = Sensors(tree(tmp_path))
    (tmp_path / "sys" / name).write_text(text)
    assert [str(cause) for cause in sensors.read().throttled] == [words]


def test_a_gpu_below_the_clock_that_somebody_locked(tmp_path):
    """jetson_clocks sets both limits to the highest; what the clock then is, its load does not explain."""
    sensors = Sensors(tree(tmp_path, **{f"{GPU}/min_freq": "612000000"}))
    assert sensors.read().throttled == ()
    put(tmp_path, f"{GPU}/cur_freq", "306000000")
    assert [str(cause) for cause in sensors.read().throttled] == ["gpu below its limit: 306 of 612 MHz"]


def test_a_busy_gpu_below_its_limit_is_held_down_and_an_idle_one_is_not(tmp_path):
    sensors = Sensors(tree(tmp_path, **{f"{GPU}/cur_freq": "306000000"}))
    assert [sensors.read().throttled for _ in range(3)] == [(), (), ()], "a third of its load: the governor"
    put(tmp_path, LOAD, "1000")
    assert sensors.read().throttled == (), "one look may fall into the governor's ramp"
    assert [cause.name for cause in sensors.read().throttled] == ["gpu below its limit"]
    put(tmp_path, f"{GPU}/cur_freq", "612000000")
    assert sensors.read().throttled == ()


@pytest.mark.parametrize(
    "load", [f"{GPU}/device/load", "devices/platform/bus@0/17000000.gpu/load", "devices/gpu.0/load"]
)
def test_the_load_of_the_gpu_wherever_the_kernel_keeps_it(tmp_path, load):
    root = tree(tmp_path, **{load: "345"})
    (root / "sys" / LOAD).unlink()
    assert Sensors(root).read().gpu_load == 0.345


def test_two_monitors_with_one_label_and_a_channel_that_is_not_connected(tmp_path):
    root = tree(tmp_path)
    for device, label, milliamperes in (
        ("hwmon4", "VDD_IN", "100"),
        ("hwmon4", "NC", "5"),
        ("hwmon5", "X", "1"),
    ):
        channel = {"VDD_IN": 1, "NC": 2, "X": 1}[label]
        put(root, f"class/hwmon/{device}/name", "ina3221")
        put(root, f"class/hwmon/{device}/in{channel}_label", label)
        put(root, f"class/hwmon/{device}/in{channel}_input", "5000")
        put(root, f"class/hwmon/{device}/curr{channel}_input", milliamperes)
    for bus, device in (("1-0040", "hwmon2"), ("1-0041", "hwmon4")):
        (root / "sys/bus" / bus).mkdir(parents=True)
        (root / f"sys/class/hwmon/{device}/device").symlink_to(root / "sys/bus" / bus)
    found = Sensors(root).read()
    assert found.power_w == {"VDD_IN": 9.0, "VDD_CPU_GPU_CV": 3.5, "VDD_IN 1-0041": 0.5, "X": 0.005}
    assert found.total_w == 9.0


def test_two_zones_of_one_type(tmp_path):
    root = tree(tmp_path)
    for number, celsius in ((2, "40000"), (3, "41000")):
        put(root, f"class/thermal/thermal_zone{number}/type", "acpitz")
        put(root, f"class/thermal/thermal_zone{number}/temp", celsius)
    assert Sensors(root).read().temperature_c == {"cpu-thermal": 51.25, "acpitz": 40.0, "acpitz 3": 41.0}


RAPL = "class/powercap/intel-rapl:0"


def rapl(root: Path, **zones: str) -> Path:
    """A package with its cores and its memory beside it, and the platform's counter."""
    for zone, name in (("", "package-0"), (":0", "core"), (":1", "dram")):
        put(root, f"{RAPL}{zone.replace(':', '/intel-rapl:0:')}/name", name)
        put(root, f"class/powercap/intel-rapl:0{zone}/name", name)
        put(root, f"class/powercap/intel-rapl:0{zone}/energy_uj", zones.get(name.replace("-0", ""), "0"))
    put(root, f"{RAPL}/max_energy_range_uj", "50000000")
    put(root, "class/powercap/intel-rapl:1/name", "psys")
    put(root, "class/powercap/intel-rapl:1/energy_uj", "0")
    return root


def test_what_a_package_has_counted_is_not_counted_again(tmp_path):
    root = rapl(tmp_path, package="45000000")
    meter = Rapl(root)
    assert meter.read(0) == {}
    for zone, joules in (("", "5000000"), (":0", "6000000"), (":1", "2000000")):
        put(root, f"class/powercap/intel-rapl:0{zone}/energy_uj", joules)
    assert meter.read(2 * 10**9) == {"package-0": 5.0, "dram": 1.0}, "the package's counter went around"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_counter_for_root_only_is_not_known():
    with tempfile.TemporaryDirectory() as folder:
        root = rapl(Path(folder))
        root.chmod(0o755)
        for path in (root / "sys/class/powercap").glob("*/energy_uj"):
            path.chmod(0o400)

        def look() -> str:
            sensors = Sensors(root)
            return f"{sensors.known} {sensors.read().total_w} {sensors.why_unknown}"

        said = as_nobody(look)
    assert said.startswith("False None ")
    assert "intel-rapl:0/energy_uj is for root only" in said
    assert "sudo chmod a+r" in said


def as_nobody(work: Callable[[], str]) -> str:
    """Of a child without rights."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(65534, 65534, 65534)
            os.write(writing, work().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as end:
        said = end.read()
    os.waitpid(child, 0)
    return said


def part(gate_ms: tuple[float, float], classifier_ms: tuple[float, float] | None = None):
    record = np.zeros(1, _core.PART_RECORD_DTYPE)
    record["gate_in_ns"], record["gate_out_ns"] = (round(ms * MS) for ms in gate_ms)
    record["route"] = Route.GATE
    if classifier_ms:
        record["classifier_in_ns"], record["classifier_out_ns"] = (round(ms * MS) for ms in classifier_ms)
        record["route"] = Route.CLASSIFIER
    return record


def test_energy_is_the_power_under_the_engines():
    meter = EnergyMeter()
    meter.look(Reading(0, {"VDD_IN": 10.0}))
    meter.add(part((100, 110))[0])
    meter.add(part((150, 160), (160, 250))[0])
    meter.add(part((300, 310))[0])
    meter.look(Reading(200 * MS, {"VDD_IN": 30.0}))
    assert dict(meter.parts) == {"gate": 1}
    assert meter.joules["gate"] == pytest.approx(0.010 * 20.5)
    meter.look(Reading(400 * MS, {"VDD_IN": 30.0}))
    assert dict(meter.parts) == {"gate": 2, "classifier": 1}
    assert meter.joules["classifier"] == pytest.approx(0.050 * 27.5 + 0.050 * 30)
    assert meter.joules["gate"] == pytest.approx(0.010 * 20.5 + 0.010 * 30)


def test_a_part_without_engines_or_before_the_first_reading_has_no_energy():
    meter = EnergyMeter()
    meter.add(part((0, 0))[0])
    meter.add(part((10, 20))[0])
    meter.look(Reading(50 * MS, {"VDD_IN": 10.0}))
    meter.look(Reading(100 * MS, {"VDD_IN": 10.0}))
    assert not meter.parts


S = 1_000_000_000


def cause(severity: int = 1, name: str = "cooling cpu") -> Cause:
    return Cause(name, f"step {severity}", severity)


def told_of(*looks: tuple[float, list[Cause]]) -> list[tuple[str, str, float]]:
    """(kind, text, second) of looks at (seconds, causes)."""
    told: list[tuple[str, str, float]] = []
    alarms = Alarms(lambda kind, text, at: told.append((kind, text, at / S)))
    for at_s, causes in looks:
        alarms.look(Reading(round(at_s * S), throttled=tuple(causes)))
    return told


def test_an_alarm_at_the_beginning_when_it_becomes_worse_and_at_the_end():
    told = told_of(
        (1, []), (1.5, [cause()]), (2, [cause()]), (2.5, [cause(3)]), (3, [cause(2)]), (4, []), (9, [])
    )
    assert told == [
        ("throttled", "cooling cpu: step 1", 1.0),
        ("throttled", "cooling cpu: step 3", 2.5),
        ("unthrottled", "cooling cpu", 4.0),
    ]


def test_an_alarm_behind_one_that_stands():
    standing = cause(name="gpu lowered")
    told = told_of((1, [standing]), (2, [standing, cause(2)]), (3, [standing]), (8, [standing]))
    assert [text for _, text, _ in told] == ["gpu lowered: step 1", "cooling cpu: step 2", "cooling cpu"]


def test_a_cause_that_comes_and_goes_is_told_once():
    looks = [(1 + n / 5, [cause()] if n % 2 else []) for n in range(200)]
    assert len(told_of(*looks)) == 1
    assert REST_NS == 5 * S


def test_a_limit_that_stood_before_hides_nothing(tmp_path):
    root = tree(tmp_path, **{"devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1190400"})
    notes: list[tuple[str, str]] = []
    telemetry = Telemetry(Sensors(root), Host(root), lambda kind, text, _at=None: notes.append((kind, text)))
    telemetry.tick(PERIOD_NS)
    put(root, COOLING, "3")
    put(root, "devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "729600")
    telemetry.tick(2 * PERIOD_NS)
    assert notes[1:] == [
        ("power", "cpu0 limited: 1190.4 of 1510.4 MHz; it stood before the start"),
        ("throttled", "cooling cpu-throttle-alert: step 3"),
        ("throttled", "cpu0 lowered: limit 729.6 MHz, was 1190.4"),
    ]
    assert telemetry.last.limits, "and is still one"


def acked(begin_ms: float, end_ms: float, number: int = 1):
    record = np.zeros(1, _core.PART_RECORD_DTYPE)
    for name in ("triggered_ns", "received_ns"):
        record[name] = round(begin_ms * MS)
    record["decided_ns"] = record["ack_ns"] = round(end_ms * MS)
    record["part_id"], record["plc_result"] = number, PlcResult.ACKED
    record["final_verdict"] = Verdict.PASS
    return record


def test_latency_while_the_clocks_are_held_down_beside_the_other():
    timeline = Timeline()
    beside = LatencyBeside(timeline)
    for record in (acked(150, 160), acked(250, 270), acked(350, 355), acked(450, 455), acked(650, 660)):
        beside.add(record[0])
    for at_ms, names in ((100, ()), (200, ()), (300, ("gpu lowered",)), (400, ("gpu lowered",)), (500, ())):
        timeline.look(at_ms * MS, names)
    beside.count()
    assert (beside.latency[True].count, beside.latency[False].count) == (3, 1), (
        "a part after the last look waits"
    )
    assert beside.latency[True].max == 20 * MS
    assert beside.parts == {"gpu lowered": 3}
    timeline.look(700 * MS, ())
    beside.count()
    assert beside.latency[False].count == 2


def test_the_journal_lays_throttling_beside_each_part(tmp_path):
    root, path = tree(tmp_path / "root"), tmp_path / "j.sqlite"
    ring = _core.RecordRing.create(str(tmp_path / "ring"), capacity=16)
    journal = JournalWriter(ring, JournalSettings(), path, RunFacts("line1", ("good",), "a", "0"))
    telemetry = Telemetry(Sensors(root), Host(root), journal.note)
    for number, step in enumerate(("0", "0", "2", "2"), 1):
        put(root, COOLING, step)
        telemetry.tick(number * PERIOD_NS)
        now = _core.now_ns()
        index = ring.append_unjudged(part_id=number, encoder_count=1, triggered_ns=now, deadline_ns=now + 1)
        ring.acknowledge(
            index,
            verdict=Verdict.REJECT,
            reason=Reason.NO_VERDICT,
            result=PlcResult.ACKED,
            queued_ns=now,
            sent_ns=now,
            ack_ns=now + 1,
        )
    journal.tick(2**62)
    journal.close()
    with JournalReader(path) as reader:
        events = [(event["kind"], event["text"]) for event in reader.events()]
        parts = [(part["part_id"], part["throttled"]) for part in reader.parts(Filter())]
    assert events[-1] == ("throttled", "cooling cpu-throttle-alert: step 2")
    held = "cooling cpu-throttle-alert"
    assert parts == [(1, ""), (2, held), (3, held), (4, held)], "the second: it began between two looks"


def test_a_reporting_process_that_died_leaves_no_throttling_behind():
    timeline = timeline_of([(10, "throttled", "gpu lowered: limit 1 MHz"), (20, "telemetry", "from here on")])
    assert timeline.between(15, 16) == {"gpu lowered"}
    assert timeline.between(21, 30) == frozenset()
    assert timeline.between(5, 12) == {"gpu lowered"}


def test_a_scrape_holds_rails_zones_and_energy(tmp_path):
    pytest.importorskip("prometheus_client")
    region = _core.Region.create(str(tmp_path / "region"), frame_slots=2, slot_bytes=4096)
    root = tree(tmp_path / "root")
    telemetry = Telemetry(Sensors(root), Host(root), lambda _kind, _text, _at=None: None)
    profile = ContinuousProfile("x", tmp_path / "live.json")
    metrics = Metrics(MetricsSettings(port=0), profile, region.status, telemetry)
    try:
        found = {
            (sample.name, json.dumps(sample.labels)): sample.value
            for family in metrics.collect()
            for sample in family.samples
        }
    finally:
        metrics.close()
    assert found["inspect_power_watts", '{"rail": "VDD_IN"}'] == 9.0
    assert found["inspect_temperature_celsius", '{"zone": "cpu-thermal"}'] == 51.25
    assert found["inspect_throttled", "{}"] == 0
    assert found["inspect_gpu_load_ratio", "{}"] == 0.345
    assert found["inspect_gpu_clock_hertz", "{}"] == 612e6
