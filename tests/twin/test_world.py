import os
import subprocess
import sys

import pytest

from edge.errors import TwinError
from tools.twin.parts import plan_parts
from tools.twin.world import NEVER_NS, World


@pytest.fixture
def path(tmp_path):
    return tmp_path / "world"


def test_belt_stands_still_until_it_is_started(path):
    world = World.create(path, plan_parts(3, 1))
    assert not world.running
    assert world.position_mm(10**12) == 0
    assert world.speed_m_per_s(10**12) == 0
    assert world.time_at_ns(100) == NEVER_NS


def test_position_encoder_and_time_agree(path):
    world = World.create(path, plan_parts(3, 1), profile="0:1.0,10:2.0", counts_per_mm=8)
    world.start(5_000_000_000)
    assert world.position_mm(4_000_000_000) == 0
    when_ns = world.time_at_ns(1234.5)
    assert world.position_mm(when_ns) == pytest.approx(1234.5, abs=1e-4)
    assert world.encoder_count(when_ns + 10) == int(1234.5 * 8)


def test_second_start_is_ignored(path):
    world = World.create(path, plan_parts(1, 1))
    world.start(5)
    world.start(9)
    assert world.start_ns == 5


def test_other_process_sees_and_writes_the_same_parts_and_its_death_loses_nothing(path):
    specs = plan_parts(4, 7)
    world = World.create(path, specs)
    code = (
        "import os, signal, sys; from pathlib import Path; from tools.twin.world import World\n"
        "world = World.attach(Path(sys.argv[1])); world.start(77); world.parts['bin'][2] = 2\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, os.fspath(path)], check=False)
    assert done.returncode == -9
    assert world.start_ns == 77
    assert list(world.parts["bin"]) == [0, 0, 2, 0]
    assert [float(x) for x in world.parts["position_mm"]] == [spec.position_mm for spec in specs]


def test_existing_file_is_not_overwritten(path):
    World.create(path, plan_parts(1, 1))
    with pytest.raises(TwinError, match="exists already"):
        World.create(path, plan_parts(1, 1))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda raw: raw[:100], "100 bytes"),
        (lambda raw: b"nonsense" + raw[8:], "nonsense"),
        (lambda raw: raw[:8] + b"\x09" + raw[9:], "version 9"),
        (lambda raw: raw[:-1], "for 2 parts"),
    ],
)
def test_foreign_or_damaged_file_is_named(path, change, found):
    World.create(path, plan_parts(2, 1))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(TwinError, match=found):
        World.attach(path)


def test_missing_file_is_named(path):
    with pytest.raises(TwinError, match="No such file"):
        World.attach(path)
