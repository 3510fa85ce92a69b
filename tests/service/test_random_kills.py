"""kill -9 of every process of a line under load, in any order, at any moment."""

import os
import random
import signal

import pytest

from tests.test_line import Bench, bench, parts_decided, wait_for

__all__ = ["bench"]

pytestmark = pytest.mark.line
PARTS = 100


def test_whoever_dies_no_part_lacks_its_verdict(bench: Bench) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    process = bench.start("demo", "--parts", str(PARTS), "--seed", str(seed), "--report", "r.json")
    victims = ["edge.inspection.process", "edge.camera.host", "edge.plc.process"]
    chance.shuffle(victims)
    due = sorted(chance.sample(range(5, 35), len(victims)))
    for victim, parts in zip(victims, due, strict=True):
        wait_for(lambda parts=parts: parts_decided(bench) >= parts or process.poll() is not None)
        pid = bench.pid_of(victim)
        assert pid > 0, f"seed {seed}: {victim} does not run any more"
        os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, f"seed {seed}: {output}"
    report = bench.report()
    assert report["truth"]["escapes"] == 0 and report["bins"]["missed"] == 0, (
        f"seed {seed}: {victims} at {due}"
    )
    assert report["duplicate_verdicts"] == 0 and report["plc"]["twice"] == 0, (
        f"seed {seed}: {victims} at {due}"
    )
    assert all(report["restarts"][name] == 1 for name in ("inspection", "camera", "actuation"))
