"""From few pictures to many: every check on real files that the command wrote."""

import csv
import hashlib
import json
from collections import Counter

import cv2
import numpy as np
import pytest

from tools.data.__main__ import main
from tools.data.alter import alter, patch
from tools.data.folds import class_weights
from tools.data.policies import Policies, Policy


def write_set(folder, *, crack=10, good=20, split="", boxes='[["crack", 100, 60, 140, 90]]'):
    rng = np.random.default_rng(5)
    lines = []
    for number in range(crack + good):
        label = "crack" if number < crack else "flawless"
        picture = rng.normal(120, 6, (160, 240, 3)).clip(0, 255).astype(np.uint8)
        if label == "crack":
            cv2.line(picture, (105, 65), (135, 85), (20, 20, 20), 2)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        lines.append((f"{number}.png", label, split, f"part{number // 2}", boxes if label == "crack" else ""))
    with (folder / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "class", "split", "group", "boxes"), *lines])
    return folder / "m.csv"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def make(manifest, out, *more):
    main([str(manifest), "--out", str(out), "--target", "120", "--folds", "3", "--patch", "96", *more])


def test_few_pictures_become_many(tmp_path):
    out = tmp_path / "set"
    make(write_set(tmp_path), out)
    rows = rows_of(out / "manifest.csv")
    assert 110 <= len(rows) <= 120
    counts = Counter(row["class"] for row in rows if row["split"] == "train")
    assert abs(counts["crack"] - counts["flawless"]) <= 1
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["original"] == 30
    assert kinds["blended"] > 0
    for row in rows:
        data = (out / row["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert cv2.imread(str(out / row["path"])).shape == (96, 96, 3)
        assert bool(json.loads(row["boxes"])) == (row["class"] == "crack")
    assert cv2.imread(str(out / "preview.jpg")) is not None


def test_no_part_on_both_sides_of_any_fold(tmp_path):
    out = tmp_path / "set"
    make(write_set(tmp_path), out)
    part = {f"{number}.png": f"part{number // 2}" for number in range(30)}
    examined = Counter()
    for fold in range(3):
        learnt, seen = set(), set()
        for row in rows_of(out / f"fold{fold}.csv"):
            groups = {row["group"]} | ({part[row["good"]]} if row["good"] else set())
            (learnt if row["split"] == "train" else seen).update(groups)
            assert row["split"] == "train" or row["kind"] == "original"
        assert learnt
        assert seen
        assert not learnt & seen
        examined.update(seen)
    assert set(examined.values()) == {1}


def test_the_same_seed_gives_the_same_set(tmp_path):
    manifest = write_set(tmp_path)
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        make(manifest, tmp_path / name, "--seed", seed)
    a, b, c = ((tmp_path / name / "manifest.csv").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": '[["crack", 100, 60, 400, 90]]'}, r"line 2 .*not inside 0\.png \(240×160"),
        ({"boxes": "crack"}, r"line 2 .*expected JSON"),
        ({"crack": 2}, r"class 'crack' has 1 group"),
    ],
)
def test_a_set_that_cannot_be_used_leaves_nothing_behind(tmp_path, change, message):
    manifest = write_set(tmp_path, **change)
    with pytest.raises(SystemExit, match=message):
        make(manifest, tmp_path / "set")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_policy_with_a_wrong_key_is_named_with_its_line(tmp_path):
    (tmp_path / "p.yaml").write_text("default:\n  flip_vertcal: false\n")
    with pytest.raises(SystemExit, match=r"p\.yaml:2: default\.flip_vertcal: unknown key; did you mean"):
        make(write_set(tmp_path), tmp_path / "set", "--policies", str(tmp_path / "p.yaml"))


def test_a_class_changes_only_what_it_names():
    policies = Policies.model_validate(
        {"default": {"noise_levels": 1}, "classes": {"crack": {"rotation_max_deg": 0}}}
    )
    assert policies.of("crack").noise_levels == 1
    assert policies.of("crack").rotation_max_deg == 0
    assert policies.of("dent").rotation_max_deg == 30


def test_boxes_move_with_the_picture():
    policy = Policy(exposure_ev=0, contrast=0, noise_levels=0)
    for seed in range(30):
        picture = np.full((200, 300, 3), 90, np.uint8)
        picture[90:110, 140:170] = 250
        altered, ((x1, y1, x2, y2),) = alter(
            picture, [(140, 90, 170, 110)], policy, np.random.default_rng(seed)
        )
        ys, xs = np.nonzero(altered[..., 0] > 170)
        assert (
            np.abs(np.array([xs.min() - x1, ys.min() - y1, xs.max() + 1 - x2, ys.max() + 1 - y2])).max() < 3
        )


@pytest.mark.parametrize("shape", [(100, 140), (300, 500)])
def test_a_patch_holds_its_defect(shape):
    boxes = [(10.0, 20.0, 50.0, 60.0)]
    for seed in range(20):
        cut, kept = patch(np.zeros((*shape, 3), np.uint8), boxes, 128, np.random.default_rng(seed))
        scale = max(1, 128 / min(shape))
        assert cut.shape == (128, 128, 3)
        assert kept[0][2] - kept[0][0] == pytest.approx(40 * scale, abs=2)


def test_weights_follow_the_root_of_the_frequency():
    weights = class_weights(["a"] * 400 + ["b"] * 100)
    assert weights["b"] / weights["a"] == pytest.approx(2)
    assert (400 * weights["a"] + 100 * weights["b"]) / 500 == pytest.approx(1)
