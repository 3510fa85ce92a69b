"""A candidate beside the line: what it compares, what it may claim, and that it never shows a torn frame."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import engines
from edge import _core
from edge._core import FrameStatus, PixelFormat, Verdict
from edge.shadow.agreement import Agreement, Claim, Kind
from edge.shadow.candidate import Opinion
from edge.shadow.kept import INDEX, Kept
from edge.shadow.report import ShadowReport
from engines.store.folder import EngineStore
from engines.store.keys import KeyRing
from engines.store.offer import Offer, offer_onnx

GOOD, CRACK, DENT = (
    Opinion(Verdict.PASS, "flawless", False),
    Opinion(Verdict.REJECT, "crack", False),
    Opinion(Verdict.REJECT, "dent", True),
)


def agreement(**counts: int) -> Agreement:
    pairs = {"same": (GOOD, GOOD), "softer": (CRACK, GOOD), "harder": (GOOD, CRACK), "other": (CRACK, DENT)}
    found = Agreement()
    for name, count in counts.items():
        for _ in range(count):
            found.add(*pairs[name])
    return found


def test_too_few_parts_never_pass_however_well_they_agree() -> None:
    claim = Claim(softer=0.01, harder=0.05)
    assert claim.needed == 299
    (why,) = agreement(same=298).refused(claim)
    assert "298 parts compared; at least 299" in why
    assert not agreement(same=299).refused(claim)


def test_a_softer_candidate_is_refused_by_the_exact_bound() -> None:
    claim = Claim(softer=0.01, harder=0.05)
    assert not agreement(same=990, softer=4, other=50, harder=30).refused(claim)
    (why,) = agreement(same=990, softer=5).refused(claim)  # 1.05 % at most
    assert why.startswith("softer: 5 of 995")
    (why,) = agreement(same=200, harder=100).refused(claim)
    assert why.startswith("harder: 100 of 300")


def test_a_candidate_without_valid_scores_is_refused() -> None:
    found = agreement(same=500)
    found.add(CRACK, Opinion(Verdict.REJECT, "crack", False, valid=False))
    assert "no valid scores for 1 parts" in found.refused(Claim())[0]


def frame(part_id: int, folder: Path) -> _core.FrameView:
    region = _core.Region.create(str(folder / f"region{part_id}"), frame_slots=2, slot_bytes=64)
    slot = region.claim_slot()
    assert slot is not None
    slot.pixels[:] = part_id
    slot.publish(
        frame_id=part_id,
        trigger_id=part_id,
        encoder_count=0,
        exposure_end_ns=0,
        width=8,
        height=8,
        stride=8,
        pixel_format=PixelFormat.MONO8,
        status=FrameStatus.OK,
    )
    view = region.copy_frame(part_id)
    assert view is not None
    return view


def test_pictures_are_bounded_and_the_dangerous_ones_displace_the_others(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "pictures", 2)
    for part_id, kind in enumerate(
        (Kind.OTHER, Kind.SAME, Kind.HARDER, Kind.SOFTER, Kind.SOFTER, Kind.OTHER)
    ):
        kept.add(kind, part_id, "a", "b", frame(part_id, tmp_path))
    assert [item.part_id for item in kept.held] == [3, 4]
    assert kept.left_out == {"other-name": 2, "harder": 1}
    kept.write_index()
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == {
        INDEX,
        "softer-00000003.png",
        "softer-00000004.png",
    }


EDGE = [sys.executable, "-m", "edge.cli"]


def environment(tmp_path: Path) -> dict[str, str]:
    folders = {"EDGE_RUN_DIR": "run", "EDGE_STORE": "store", "EDGE_KEYS": "keys"}
    return {**os.environ, **{key: str(tmp_path / name) for key, name in folders.items()}}


def shadow(tmp_path: Path, *more: str, what: str = "shadow") -> "subprocess.Popen[str]":
    env = environment(tmp_path)
    command = [*EDGE, "calibrate", what, "--line", "demo", "--priority", "low", *more]
    return subprocess.Popen(
        command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def softened(recipe: Path, out: Path) -> Path:
    """The same recipe; its gate lets everything pass."""
    data = yaml.safe_load(recipe.read_text())
    for step in data["routing"]:
        step |= {"gate_good": 0.0, "gate_defect": 1.0, "gate_empty": 1.0}
    data.pop("certificate")
    out.write_text(yaml.safe_dump(data))
    return out


def two_gates(tmp_path: Path) -> tuple[EngineStore, str]:
    """A store whose active gate has one before it; and the id of that one."""
    keys = KeyRing(tmp_path / "keys")
    keys.create()
    store = EngineStore(tmp_path / "store", keys)
    models = Path(engines.__file__).parent / "models"
    (tmp_path / "gate.onnx").write_bytes((models / "gate.onnx").read_bytes())
    ids = []
    for day in ("2026-11-22", "2026-11-23"):
        text = (models / "gate.yaml").read_text().replace("2026-11-23", day)
        (tmp_path / "gate.yaml").write_text(text)
        stored = offer_onnx(store, Offer(tmp_path / "gate.yaml", None, runs=2), lambda phase, share: None)
        ids.append(store.activate(stored.id).id)
    return store, ids[0]


@pytest.mark.line
def test_beside_a_real_line_its_own_engines_agree_and_a_soft_recipe_does_not(tmp_path: Path) -> None:
    env = environment(tmp_path)
    store, before = two_gates(tmp_path)
    own = Path(engines.__file__).parent / "recipes/demo_detector.yaml"
    recipes = {"same": own, "soft": softened(own, tmp_path / "soft.yaml")}
    with subprocess.Popen(
        [*EDGE, "demo", "--parts", "2000"], env=env, cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as line:
        try:
            end = time.monotonic() + 60
            while not list((tmp_path / "run").glob("edge-*-demo/inspection.json")):
                assert time.monotonic() < end and line.poll() is None
                time.sleep(0.05)
            wanted = ("--parts", "20", "--share", "1", "--minutes", "1.5")
            runs = {
                name: shadow(tmp_path, "--recipe", str(recipes[name]), "--out", name, *wanted)
                for name in recipes
            }
            nothing = shadow(tmp_path)
            refused = nothing.communicate()[0]
            said = {name: (run.communicate()[0], run.returncode) for name, run in runs.items()}
            other_parts = json.loads((tmp_path / "same/shadow.json").read_text())
            other_parts |= {"parts": 500, "said_by_candidate": {"reject glass": 500}}
            (tmp_path / "glass.json").write_text(json.dumps(other_parts))
            options = ("--shadow", "glass.json", "--window", "20", "--engine", "twin-gate")
            watch = shadow(tmp_path, *options, what="watch")
            alarm = watch.communicate(timeout=100)[0]
        finally:
            line.terminate()
    report = {}
    for name, (text, code) in said.items():
        assert code == 3, text
        assert "parts compared; at least 299 are needed" in text
        report[name] = ShadowReport.model_validate_json((tmp_path / name / "shadow.json").read_text())
        assert report[name].parts > 0, text
    kinds = report["same"].kinds
    assert kinds.get("softer", 0) + kinds.get("harder", 0) == 0, report["same"].table
    assert report["soft"].kinds["softer"] > 0
    held = json.loads((tmp_path / "soft/pictures" / INDEX).read_text())
    assert len(held) == sum(n for kind, n in report["soft"].kinds.items() if kind != "same")
    assert (tmp_path / "soft/pictures" / held[0]["picture"]).stat().st_size > 100
    assert nothing.returncode == 2
    assert "line and shadow would be the same" in refused
    assert watch.returncode == 4, alarm
    assert "any other outcome" in alarm
    assert store.active_id("twin-gate") == before
    assert json.loads((tmp_path / "alarm.json").read_text())["active"] == {"twin-gate": before}
    assert "left its range" in (tmp_path / "store/audit.jsonl").read_text()


def test_a_line_that_does_not_run(tmp_path: Path) -> None:
    run = shadow(tmp_path)
    assert "line 'demo' does not run" in run.communicate()[0]
    assert run.returncode == 2
