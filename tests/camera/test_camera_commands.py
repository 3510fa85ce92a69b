"""``edge camera`` on pictures and on a fake machine; the kinds themselves are held by test_conformance."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge._core import FrameStatus, PixelFormat
from edge.camera.base import Frame
from edge.camera.blur import blur_px, blur_text
from edge.camera.commands import app
from edge.camera.flat_field import load_map
from edge.camera.grabbing import Grabbed
from edge.camera.network import camera_network
from edge.camera.tune import delivery
from edge.errors import CameraError
from edge.service.doctor.finding import Level
from edge.service.doctor.host import Host

LINE = """
name: t
camera: {kind: replay, path: parts, pixel_format: mono8}
engines: {gate: "shipped:gate"}
routing: [{up_to_m_per_s: 3.0, gate_good: 0.96, gate_defect: 0.9, classifier_good: 0.95}]
plc: {kind: twin}
"""


@pytest.fixture
def line(tmp_path):
    (tmp_path / "parts").mkdir()
    for i, level in enumerate([10, 10, 120, 120]):
        cv2.imwrite(str(tmp_path / "parts" / f"{i}.png"), np.full((20, 30), level, np.uint8))
    path = tmp_path / "line.yaml"
    path.write_text(LINE)
    return path


def call(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(result.exception, CameraError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_says_why_a_back_end_sees_nothing():
    output = call("list")
    assert all(kind in output for kind in ("aravis", "gentl", "pylon", "video"))


def test_snap_and_show(line, tmp_path):
    assert "pixel_format: mono8" in call("show", line)
    output = call("snap", line, "--out", tmp_path / "one.png")
    assert "30x20 MONO8, mean 10" in output
    assert cv2.imread(str(tmp_path / "one.png"), cv2.IMREAD_UNCHANGED).shape == (20, 30)
    with pytest.raises(CameraError, match="does its folder exist"):
        call("snap", line, "--out", tmp_path / "nowhere" / "one.png")


def test_record_can_be_replayed_and_never_overwrites(line, tmp_path):
    assert "4 pictures" in call("record", line, "--out", tmp_path / "taken", "--frames", 9)
    found = sorted((tmp_path / "taken").iterdir())
    assert [cv2.imread(str(p), 0).mean() for p in found] == [10, 10, 120, 120]
    with pytest.raises(CameraError, match="not there yet"):
        call("record", line, "--out", tmp_path / "taken")


def test_flatfield(line, tmp_path):
    call("flatfield", line, "--out", tmp_path / "map.npz", "--frames", 2, "--yes")
    found = load_map(tmp_path / "map.npz")
    assert (found.dark == 10 * 256).all() and (found.gain == 16384).all()


def test_tune_measures_and_looks(line):
    data = json.loads(call("tune", line, "--frames", 10, "--json"))
    assert data["delivery"]["frames"] == 4 and data["delivery"]["lost"] == 0
    assert {"packet_socket"} <= {finding["check"] for finding in data["findings"]}


def test_delivery():
    frame = lambda n, status=FrameStatus.OK: Frame(1, 1, 1, PixelFormat.MONO8, status, frame_id=n)  # noqa: E731
    even = [Grabbed(frame(n), None, n * 10_000_000) for n in range(1, 101) if n not in (40, 41, 70)]
    even[50] = Grabbed(frame(even[50].frame.frame_id, FrameStatus.INCOMPLETE), None, even[50].received_ns)
    found = delivery(even)
    assert (found.frames, found.lost, found.incomplete) == (97, 3, 1)
    assert found.period_p50_ms == pytest.approx(10) and found.jitter_p99_ms < 1e-6
    assert delivery(even[:2]) is None


def test_delivery_counts_from_the_device_s_stamp_where_there_is_one():
    frame = lambda n: Frame(1, 1, 1, PixelFormat.MONO8, frame_id=n, exposure_end_ns=n * 10_000_000)  # noqa: E731
    run = [Grabbed(frame(n), None, n * 10_000_000 + 3_000_000) for n in range(1, 50)]
    assert delivery(run, own_stamps=True).device_to_host_p99_ms == pytest.approx(3)
    assert delivery(run).device_to_host_p50_ms is None


def machine(root, *, rx, eee, cap, affinity):
    def put(path, text, mode=0o644):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    put("sys/class/net/eth0/type", "1\n")
    (root / "sys/class/net/eth0/device").mkdir()
    put("sys/class/net/lo/type", "772\n")
    put("proc/self/status", f"Name: x\nCapEff:\t{cap:016x}\n")
    put("proc/interrupts", "  CPU0 CPU1\n 33:  5  0  PCI-MSI eth0\n 34: 1 1 PCI-MSI nvme0\n")
    put("proc/irq/33/smp_affinity_list", affinity)
    ring = f"Pre-set maximums:\\nRX:\\t4096\\nTX:\\t4096\\nCurrent:\\nRX:\\t{rx}\\nTX:\\t256\\n"
    script = f"#!/bin/sh\ncase $1 in -g) printf '{ring}';; *) echo 'EEE status: {eee}';; esac\n"
    put("usr/sbin/ethtool", script, 0o755)
    return Host(root=root)


def test_a_card_that_costs_frames_is_told_with_what_mends_it(tmp_path):
    found = {
        f.check: f
        for f in camera_network(machine(tmp_path, rx=256, eee="enabled - active", cap=0, affinity="0"))
    }
    assert {f.level for f in found.values()} == {Level.WARN}
    assert found["camera_ring"].mend == "sudo ethtool -G eth0 rx 4096"
    assert found["camera_power_saving"].mend == "sudo ethtool --set-eee eth0 eee off"
    assert "/proc/irq/33/" in found["camera_interrupts"].mend
    assert "CAP_NET_RAW" in found["packet_socket"].mend


def test_a_card_that_is_well_set_is_good(tmp_path):
    host = machine(tmp_path, rx=4096, eee="disabled", cap=1 << 13, affinity="1")
    assert {f.level for f in camera_network(host)} == {Level.PASS}


def test_motion_blur():
    assert blur_px(speed_m_per_s=1.2, exposure_us=200, mm_per_pixel=0.1) == pytest.approx(2.4)
    text = blur_text(speed_m_per_s=1.2, exposure_us=200, mm_per_pixel=0.1)
    assert text is not None and "2.4 px" in text and "exposure_us to 83 or less" in text
    assert "expected" not in (blur_text(speed_m_per_s=1.2, exposure_us=50, mm_per_pixel=0.1) or "expected")
    assert blur_text(speed_m_per_s=1.2, exposure_us=None, mm_per_pixel=0.1) is None
