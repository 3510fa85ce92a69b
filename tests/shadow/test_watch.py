"""The watch after an activation: noise does not take engines back, a line that changed does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import engines
from edge import _core
from edge._core import Verdict
from edge.errors import ConfigError
from edge.shadow.candidate import Opinion
from edge.shadow.report import ShadowReport
from edge.shadow.watch import ELSE, LIGHT, CertifiedRange, Watch

ALARM = 0.001
GOOD, CRACK = Opinion(Verdict.PASS, "flawless", False), Opinion(Verdict.REJECT, "crack", True)
DENT = Opinion(Verdict.REJECT, "dent", False)


def shadow_report(**other: object) -> ShadowReport:
    given: dict[str, object] = {
        "line": "demo",
        "candidate": {},
        "parts": 1000,
        "softer_allowed": 0.01,
        "harder_allowed": 0.05,
        "confidence": 0.95,
        "kinds": {"same": 1000},
        "table": (),
        "said_by_line": {},
        "said_by_candidate": {"pass flawless": 950, "reject crack": 50, "escalated": 50},
        "invalid": 0,
        "skipped": 0,
        "not_judged": 0,
        "overwritten": 0,
        "overruns_of_the_line": 0,
        "brightness_range": (60.0, 90.0),
        "brightness_outside": 20,
        "gate_ms_p50": None,
        "classifier_ms_p50": None,
        "refused": (),
    }
    return ShadowReport.model_validate({**given, **other})


RANGE = CertifiedRange(shadow_report(), ALARM)


def run(
    defects: float, seed: int, *, bright: float = 75.0, parts: int = 4000, kind: Opinion = CRACK
) -> set[str]:
    """What leaves its range first."""
    watch = Watch(RANGE, window=200, false_alarm=ALARM)
    rng = np.random.default_rng(seed)
    for _ in range(parts):
        left = watch.add(kind if rng.random() < defects else GOOD, rng.normal(bright, 4.0))
        if left:
            return {item.what for item in left}
    return set()


def test_noise_takes_nothing_back() -> None:
    assert [run(0.05, seed) for seed in range(10)] == [set()] * 10


@pytest.mark.parametrize(
    ("defects", "bright", "kind", "what"),
    [
        (0.25, 75.0, CRACK, "reject crack"),
        (0.0, 75.0, CRACK, "reject crack"),
        (0.05, 95.0, CRACK, LIGHT),
        (0.10, 75.0, DENT, ELSE),
    ],
)
def test_a_line_that_changed_is_seen(defects: float, bright: float, kind: Opinion, what: str) -> None:
    assert what in run(defects, 7, bright=bright, kind=kind)


def test_a_range_needs_parts() -> None:
    with pytest.raises(ConfigError, match="compared 99 parts; expected at least 100"):
        CertifiedRange(shadow_report(parts=99, said_by_candidate={"pass flawless": 99}), ALARM)


def test_another_line_s_report_is_refused(tmp_path: Path) -> None:
    """By the real command, beside a region and a ring as a line leaves them."""
    folder = tmp_path / "line"
    folder.mkdir()
    region = _core.Region.create(str(folder / "region"), frame_slots=4, slot_bytes=64)
    _core.RecordRing.create(str(folder / "records.ring"), capacity=256)
    models = Path(engines.__file__).parent / "models"
    step = {"up_to_m_per_s": 3, "gate_good": 0.9, "gate_defect": 0.9, "classifier_good": 0.9}
    told = {
        "gate": str(models / "gate.yaml"),
        "classifier": None,
        "threads": 1,
        "roi": None,
        "budget": {},
        "exposure": {},
        "routing": [step],
        "frame_timeout_ms": 60,
        "max_speed_m_per_s": 3,
        "priority": 0,
        "loop_cpu": None,
        "keep_warm_ms": 0,
    }
    (folder / "inspection.json").write_text(json.dumps(told))
    (tmp_path / "shadow.json").write_text(shadow_report(candidate={"gate": "0" * 64}).model_dump_json())
    command = [sys.executable, "-m", "edge.shadow", "watch", "--line", str(folder), "--priority", "low"]
    got = subprocess.run(
        [*command, "--shadow", str(tmp_path / "shadow.json")], capture_output=True, text=True, env=os.environ
    )
    assert got.returncode == 2, got.stderr
    assert "the shadow run was of gate 000000000000" in got.stderr
    assert region.status.stop == 0
