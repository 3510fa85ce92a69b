"""A new defect type, from pictures to an active engine: the real command on twin parts, killed at every step."""

import csv
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from calibration.desk import Desk
from calibration.errors import CalibrationError
from calibration.lesson import STEPS, Teaching
from calibration.teach_steps import head_of
from calibration.wish import Wish
from calibration.work import WorkFolder
from engines.load import load_engine
from engines.store.folder import EngineStore
from engines.store.keys import KeyRing
from tools.twin.parts import CLASSES, plan_parts, plan_unseen
from tools.twin.render import CameraModel, render, warm_up

NEW = "corrosion"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``old.csv`` and the folder ``new``; a store and keys of their own."""
    folder = tmp_path_factory.mktemp("pictures")
    camera = CameraModel()
    warm_up(camera)
    rows = [("path", "class", "split", "group", "format")]
    for number, spec in enumerate(plan_parts(90, 3, 0.7, ghost_share=0.1, namespace="lesson")):
        cv2.imwrite(str(folder / f"{number}.png"), render(spec, camera).pixels)
        split = "train" if number < 60 else "exam"
        rows.append((f"{number}.png", CLASSES[spec.class_id], split, str(number), "bayer_rg8"))
    with (folder / "old.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (folder / "new").mkdir()
    for number, spec in enumerate(plan_unseen(8, 3, NEW, namespace="lesson")):
        cv2.imwrite(str(folder / "new" / f"{number}.png"), render(spec, camera).pixels)
    return folder


def command(pictures: Path, work: Path, *more: str) -> list[str]:
    base = [sys.executable, "-m", "calibration", "new-defect", NEW, "--images", str(pictures / "new")]
    options = ["--data", str(pictures / "old.csv"), "--engine", "shipped:gate", "--work", str(work)]
    return [*base, *options, "--priority", "low", "--margin", "100", *more]


def environment(tmp_path: Path) -> dict[str, str]:
    keys = KeyRing(tmp_path / "keys")
    if not keys.private_path.is_file():
        keys.create()
    return {**os.environ, "EDGE_STORE": str(tmp_path / "store"), "EDGE_KEYS": str(tmp_path / "keys")}


def wish(pictures: Path, **other: object) -> Wish:
    given: dict[str, object] = {"name": NEW, "images": pictures / "new", "data": pictures / "old.csv"}
    return Wish(**{**given, "engines": ("shipped:gate",), **other})  # type: ignore[arg-type]


def assert_same_model(one: Path, other: Path) -> None:
    """The same graph; weights to the last bits, which a BLAS does not promise from one process to the next."""
    a, b = onnx.load(one), onnx.load(other)
    assert [node.SerializeToString() for node in a.graph.node] == [
        node.SerializeToString() for node in b.graph.node
    ]
    assert [weight.name for weight in a.graph.initializer] == [weight.name for weight in b.graph.initializer]
    for left, right in zip(a.graph.initializer, b.graph.initializer, strict=True):
        np.testing.assert_allclose(
            onnx.numpy_helper.to_array(left), onnx.numpy_helper.to_array(right), rtol=1e-4, atol=1e-6
        )


def test_killed_at_every_step_it_goes_on_and_teaches_the_same(pictures: Path, tmp_path: Path) -> None:
    env, work = environment(tmp_path), tmp_path / "killed"
    for step in STEPS:
        with subprocess.Popen(
            command(pictures, work), env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == f"… {step}":
                    os.killpg(process.pid, signal.SIGKILL)
                    break
        journal = [json.loads(line) for line in (work / "journal.jsonl").read_text().splitlines()]
        assert {entry["step"] for entry in journal} <= set(STEPS[: STEPS.index(step) + 1])
    last = subprocess.run(command(pictures, work), env=env, capture_output=True, text=True)
    assert last.returncode in (0, 3), last.stderr
    whole = tmp_path / "whole"
    Teaching(Desk(wish(pictures, margin_points=100.0), WorkFolder(whole))).run("calibrate")
    assert_same_model(work / "candidate/gate.onnx", whole / "candidate/gate.onnx")

    refused = json.loads((work / "done/prove.json").read_text())["said"]["refused"]
    assert (last.returncode == 3) == bool(refused)
    os.environ["EDGE_KEYS"], before = env["EDGE_KEYS"], os.environ.get("EDGE_KEYS")
    try:
        store = EngineStore(tmp_path / "store", KeyRing(tmp_path / "keys"))
        if refused:
            assert store.active_id("twin-gate") is None
        else:
            engine = load_engine(store.active("twin-gate"))
            assert engine.manifest.classes == (*CLASSES, NEW)
            assert json.loads((work / "audit.json").read_text())["active"]["twin-gate"]
    finally:
        os.environ.pop("EDGE_KEYS") if before is None else os.environ.update(EDGE_KEYS=before)
    assert "| crack |" in (work / "proof.md").read_text() and (work / "proof.png").stat().st_size > 1000


def test_what_the_finished_graph_says_is_what_was_proved(pictures: Path, tmp_path: Path) -> None:
    teaching = Teaching(Desk(wish(pictures), WorkFolder(tmp_path / "work")))
    teaching.run("prove")
    from calibration.teach import scores_of

    engine = load_engine(tmp_path / "work/candidate/gate.yaml")
    backbone = teaching.desk.backbones[0]
    exam = teaching.desk.exam(backbone)
    expected = scores_of(head_of(teaching.desk, backbone), exam.taps, exam.logits)
    from calibration.pictures import read_frame
    from calibration.taps import Extractor

    eye = Extractor(backbone)
    for row, picture in enumerate(exam.pictures(np.arange(5))):
        eye.look(*read_frame(picture))
        engine.input[:] = eye.picture
        engine.run()
        np.testing.assert_allclose(engine.scores[0], expected[row], atol=2e-3)


def test_two_engineers_at_once(pictures: Path, tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "work").held():
        got = subprocess.run(command(pictures, tmp_path / "work"), capture_output=True, text=True)
    assert got.returncode == 2
    assert f"process {os.getpid()}, since" in got.stderr


def bad(pictures: Path, tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.png").write_bytes((pictures / "new/0.png").read_bytes())
    return folder


@pytest.mark.parametrize("count", [1, 6])
def test_one_picture_or_the_same_one_again_and_again(pictures: Path, tmp_path: Path, count: int) -> None:
    teaching = Teaching(
        Desk(wish(pictures, images=bad(pictures, tmp_path, count)), WorkFolder(tmp_path / "work"))
    )
    with pytest.raises(CalibrationError, match=f"1 usable picture.* of {count}"):
        teaching.run("check")


def test_the_wrong_folder_and_another_camera(pictures: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader((pictures / "old.csv").open()))
    folder = tmp_path / "wrong"
    folder.mkdir()
    for row in [row for row in rows if row["class"] == "no_part"][:6]:
        (folder / row["path"]).write_bytes((pictures / row["path"]).read_bytes())
    with pytest.raises(CalibrationError, match="few"):
        Teaching(Desk(wish(pictures, images=folder), WorkFolder(tmp_path / "work"))).run("check")
    found = json.loads((tmp_path / "work/check.json").read_text())
    assert {"label conflict"} <= {item["kind"] for item in found}

    other = tmp_path / "other"
    other.mkdir()
    for number in range(4):
        shown = cv2.imread(str(pictures / f"new/{number}.png"), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(other / f"{number}.png"), cv2.resize(shown, (400, 400)))
    with pytest.raises(CalibrationError, match="few"):
        Teaching(Desk(wish(pictures, images=other), WorkFolder(tmp_path / "work2"))).run("check")
    assert "another camera" in (tmp_path / "work2/check.json").read_text()


def test_disk_full_leaves_nothing_half_written(pictures: Path, tmp_path: Path) -> None:
    limited = "import resource,signal,sys;signal.signal(signal.SIGXFSZ,signal.SIG_IGN);"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE,(60000,60000));"
    limited += "from calibration.__main__ import main;sys.exit(main(sys.argv[1:]))"
    words = command(pictures, tmp_path / "work")[3:]
    got = subprocess.run([sys.executable, "-c", limited, *words], capture_output=True, text=True)
    assert got.returncode == 2 and "run the same command again" in got.stderr, got.stderr
    assert not list((tmp_path / "work").rglob("*.part"))
    Teaching(Desk(wish(pictures), WorkFolder(tmp_path / "work"))).run("assist")


def test_the_package_for_a_workstation(pictures: Path, tmp_path: Path) -> None:
    from calibration.package import package

    Teaching(Desk(wish(pictures), WorkFolder(tmp_path / "work"))).run("check")
    assert package(tmp_path / "work", tmp_path / "p.zip") == 98
    with zipfile.ZipFile(tmp_path / "p.zip") as file:
        assert file.testzip() is None
        assert len(file.read("manifest.csv").splitlines()) == 99
