"""The ring file of part records."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge import _core

ACK = {
    "verdict": _core.Verdict.REJECT,
    "reason": _core.Reason.NO_VERDICT,
    "result": _core.PlcResult.ACKED,
    "queued_ns": 1,
    "sent_ns": 2,
    "ack_ns": 3,
}


def append(ring: _core.RecordRing, part_id: int) -> int:
    return ring.append_unjudged(part_id=part_id, encoder_count=-part_id, triggered_ns=5, deadline_ns=9)


def test_a_record_is_read_once_both_halves_are_there(tmp_path: Path) -> None:
    ring = _core.RecordRing.create(str(tmp_path / "ring"), capacity=16)
    reader = ring.reader()
    index = append(ring, 7)
    assert len(reader.read()) == 0
    ring.acknowledge(index, **ACK)
    (record,) = reader.read()
    assert (record["part_id"], record["encoder_count"], record["ack_ns"]) == (7, -7, 3)
    assert record["final_reason"] == _core.Reason.NO_VERDICT
    assert len(reader.read()) == 0


def test_what_is_overwritten_is_counted(tmp_path: Path) -> None:
    ring = _core.RecordRing.create(str(tmp_path / "ring"), capacity=16)
    reader = ring.reader()
    for part in range(40):
        ring.acknowledge(append(ring, part), **ACK)
    assert [int(r["part_id"]) for r in reader.read()] == list(range(24, 40))
    assert reader.lost == 24


def test_records_survive_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    ring = _core.RecordRing.create(str(path), capacity=16)
    reader = ring.reader()
    code = (
        "import os, signal, sys; from edge import _core; r = _core.RecordRing.attach(sys.argv[1]);"
        "i = r.append_unjudged(part_id=3, encoder_count=0, triggered_ns=1, deadline_ns=2);"
        "r.acknowledge(i, verdict=_core.Verdict.REJECT, reason=_core.Reason.NO_VERDICT,"
        " result=_core.PlcResult.ACKED, queued_ns=1, sent_ns=1, ack_ns=1); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert [int(r["part_id"]) for r in reader.read()] == [3]
    again = _core.RecordRing.create(str(path), capacity=16)
    assert again.head == 1


def test_a_damaged_record_is_counted_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    ring = _core.RecordRing.create(str(path), capacity=16)
    reader = ring.reader()
    ring.acknowledge(append(ring, 3), **ACK)
    data = bytearray(path.read_bytes())
    at = data.index((3).to_bytes(8, "little"), 64)  # the part id
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\x04")
    assert len(reader.read()) == 0
    assert reader.lost == 1


def test_another_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    _core.RecordRing.create(str(path), capacity=16)
    data = bytearray(path.read_bytes())
    data[8:12] = (7).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(_core.CoreError, match=r"ring file of version 7 .* version 3 .*Move it aside"):
        _core.RecordRing.create(str(path), capacity=16)


def test_another_capacity_and_truncation_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    _core.RecordRing.create(str(path), capacity=16)
    with pytest.raises(_core.CoreError, match="for 16 records found, 32 expected"):
        _core.RecordRing.create(str(path), capacity=32)
    os.truncate(path, 200)
    with pytest.raises(_core.CoreError, match="truncated"):
        _core.RecordRing.attach(str(path))


def test_a_full_disk_is_met_at_creation_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    code = (
        "import resource, signal, sys; from edge import _core; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536));"
        "_core.RecordRing.create(sys.argv[1], capacity=65536)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "cannot reserve" in done.stderr and "Free some space" in done.stderr
    assert not path.exists()
