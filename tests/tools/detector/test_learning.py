"""Losses, assigner, training loop and export of the detector, on pictures small enough to be learned in seconds."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.graph import load_simplified  # noqa: E402
from engines.precision import find_head  # noqa: E402
from tools.detector import export, foreign  # noqa: E402
from tools.detector.assign import Truth, assign  # noqa: E402
from tools.detector.augment import augment  # noqa: E402
from tools.detector.boxes import giou, iou  # noqa: E402
from tools.detector.errors import DetectorError  # noqa: E402
from tools.detector.evidence import Evidence, fit, neutral  # noqa: E402
from tools.detector.fit import Recipe, Training  # noqa: E402
from tools.detector.judge import best_of  # noqa: E402
from tools.detector.losses import distribution_focal, quality_focal  # noqa: E402
from tools.detector.net import Detector, NetSpec, decode, grid_sizes, priors  # noqa: E402
from tools.detector.sets import BoxSet  # noqa: E402
from tools.detector.train import main  # noqa: E402

torch.set_num_threads(1)  # two would wait for each other wherever something else runs
SPEC = NetSpec(classes=2, width=64, height=48, channels=16, strides=(8, 16, 32))


def squares(count: int, seed: int = 0) -> BoxSet:
    """A bright or a dark square on grey: class 0 or 1."""
    rng = np.random.default_rng(seed)
    images = rng.integers(110, 140, (count, 3, 48, 64), dtype=np.uint8)
    boxes, classes = np.zeros((count, 1, 4), np.float32), rng.integers(0, 2, (count, 1))
    for image, box, class_id in zip(images, boxes[:, 0], classes[:, 0], strict=True):
        x, y, side = int(rng.integers(4, 36)), int(rng.integers(4, 22)), int(rng.integers(12, 22))
        box[:] = x, y, x + side, y + side
        image[:, y : y + side, x : x + side] = 230 if class_id == 0 else 20
    return BoxSet(images, boxes, classes, classes[:, 0], np.zeros(count, np.float32))


def truth(*boxes: tuple[float, float, float, float, int]) -> Truth:
    return Truth(
        torch.tensor([[box[:4] for box in boxes]], dtype=torch.float32),
        torch.tensor([[box[4] for box in boxes]], dtype=torch.int64),
    )


def test_iou_and_giou_of_boxes_counted_by_hand() -> None:
    a = torch.tensor([0.0, 0, 10, 10])
    b = torch.tensor([[5.0, 0, 15, 10], [20.0, 0, 30, 10]])
    torch.testing.assert_close(iou(a, b), torch.tensor([1 / 3, 0.0]))
    torch.testing.assert_close(giou(a, b), torch.tensor([1 / 3, -1 / 3]))


def test_quality_focal_loss_is_nothing_where_the_score_is_the_quality() -> None:
    at = torch.logit(torch.tensor([0.3, 0.3]))
    loss = quality_focal(at, torch.tensor([0.3, 0.8]))
    assert loss[0] == 0
    expected = -(0.8 * np.log(0.3) + 0.2 * np.log(0.7)) * 0.25
    assert float(loss[1]) == pytest.approx(expected, rel=1e-5)


def test_distribution_focal_loss_splits_between_neighbours() -> None:
    logits = torch.zeros(1, 8)
    logits[0, 2], logits[0, 3] = np.log(3.0), np.log(1.0)
    loss = distribution_focal(logits, torch.tensor([2.25]))
    p = torch.softmax(logits[0], 0)
    assert float(loss) == pytest.approx(float(-(0.75 * p[2].log() + 0.25 * p[3].log())), rel=1e-5)


def test_every_box_is_learned_somewhere_even_a_hair() -> None:
    places = priors(SPEC)
    wanted = truth((3, 3, 50, 44, 0), (33.2, 10, 34.1, 30, 1), (0, 0, 0, 0, -1))
    assigned = assign(torch.full((1, len(places), 2), 0.01), torch.zeros(1, len(places), 4), places, wanted)[
        0
    ]
    assert set(assigned.tolist()) == {-1, 0, 1}
    x = places[assigned == 1][:, 0]
    assert ((x - 33.6).abs() < places[assigned == 1][:, 2]).all()


def test_the_better_guide_gets_more_locations_and_the_right_class_wins() -> None:
    places = priors(SPEC)
    wanted = truth((8, 8, 40, 40, 1))
    blind = torch.zeros(1, len(places), 4)
    perfect = wanted.boxes.expand(1, len(places), 4)
    scores = torch.full((1, len(places), 2), 0.01)
    few = int((assign(scores, blind, places, wanted) >= 0).sum())
    many = int((assign(scores, perfect, places, wanted) >= 0).sum())
    assert few == 1
    assert many == 13
    sure = scores.clone()
    sure[0, 20, 1] = 0.99
    chosen = assign(sure, blind + torch.tensor([8.0, 8, 36, 40]), places, wanted)[0]
    assert chosen[20] == 0


def test_locations_match_the_decoder() -> None:
    assert len(priors(SPEC)) == sum(rows * columns for rows, columns in grid_sizes(SPEC)) == 48 + 12 + 4
    raw = torch.zeros(1, 64, SPEC.outputs)
    boxes = decode(raw, priors(SPEC), SPEC)  # even distributions: 3.5 strides to every side
    torch.testing.assert_close(boxes[0, 9], torch.tensor([8.0 - 28, 8 - 28, 8 + 28, 8 + 28]))


@pytest.mark.parametrize("is_foreign", [False, True])
def test_boxes_move_with_their_pictures(is_foreign: bool) -> None:
    data = squares(16)
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        images, moved = augment(
            torch.from_numpy(data.images),
            Truth(torch.from_numpy(data.boxes), torch.from_numpy(data.classes)),
            generator,
            foreign=is_foreign,
        )
        for image, box, class_id in zip(images, moved.boxes[:, 0], moved.classes[:, 0], strict=True):
            x1, y1, x2, y2 = (round(v) for v in box.tolist())
            if class_id < 0 or x1 <= 0 or y1 <= 0 or x2 >= 64 or y2 >= 48:
                continue
            inside = float(image[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].mean())
            assert inside > 180 if class_id == 0 else inside < 60


def test_windows_of_large_pictures_take_their_boxes_along() -> None:
    data = squares(16)
    whole = Truth(torch.from_numpy(data.boxes), torch.from_numpy(data.classes))
    seen = 0
    for seed in range(12):
        chance = torch.Generator().manual_seed(seed)
        images, moved = augment(torch.from_numpy(data.images), whole, chance, foreign=True, window=(32, 40))
        assert images.shape[-2:] == (32, 40)
        for image, box, class_id in zip(images, moved.boxes[:, 0], moved.classes[:, 0], strict=True):
            x1, y1, x2, y2 = (round(v) for v in box.tolist())
            if class_id < 0 or x1 <= 0 or y1 <= 0 or x2 >= 40 or y2 >= 32:
                continue
            seen += 1
            inside = float(image[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].mean())
            assert inside > 180 if class_id == 0 else inside < 60
    assert seen > 20


def test_it_learns_squares_and_its_export_says_the_same(tmp_path: Path) -> None:
    net = Training(SPEC, Recipe(epochs=12, batch=16, top_rate=4e-3), squares(192)).run()
    data = squares(48, seed=9)
    best = best_of(net, data.images)
    assert (best.scores.argmax(1) == data.labels).mean() > 0.9
    own = best.boxes[np.arange(48), data.labels]
    assert float(iou(torch.from_numpy(own), torch.from_numpy(data.boxes[:, 0])).mean()) > 0.6
    export.export(net, tmp_path / "net.onnx")
    figures = foreign.score(net, foreign.Foreign(data, ("bright", "dark")))
    assert figures["map50"] > 0.7  # type: ignore[operator]
    head = find_head(load_simplified(tmp_path / "net.onnx"))
    assert sum("/out/" in name and "Conv" in name for name in head) >= 3  # the last layer of every scale


@pytest.mark.parametrize("backbone", ["plain", "shuffle"])
def test_both_backbones_give_features_at_every_stride(backbone: str) -> None:
    spec = NetSpec(3, 100, 72, backbone, 16, (8, 16, 32, 64))
    with torch.inference_mode():
        assert Detector(spec).eval()(torch.zeros(1, 3, 72, 100)).shape == (1, len(priors(spec)), spec.outputs)


def test_a_killed_run_ends_where_an_undisturbed_one_ends(tmp_path: Path) -> None:
    data, recipe = squares(32), Recipe(epochs=2, batch=16)
    whole = Training(SPEC, recipe, data).run()

    class KilledError(Exception):
        pass

    def kill(_: Training) -> dict[str, float]:
        raise KilledError

    first = Training(SPEC, recipe, data, tmp_path / "run.pt")
    first._save(tmp_path / "begun.pt")
    seen = []

    def kill_in_the_second(training: Training) -> dict[str, float]:
        seen.append(training.epoch)
        return kill(training) if len(seen) == 2 else {}

    with pytest.raises(KilledError):
        first.run(kill_in_the_second)
    resumed = Training(SPEC, recipe, data, tmp_path / "run.pt")
    assert resumed.epoch == 1
    for one, other in zip(whole.parameters(), resumed.run().parameters(), strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(DetectorError, match="belongs to another run"):
        Training(SPEC, replace(recipe, seed=2), data, tmp_path / "run.pt")
    (tmp_path / "bad.pt").write_bytes(b"no checkpoint")
    with pytest.raises(DetectorError, match="not a checkpoint"):
        Training(SPEC, recipe, data, tmp_path / "bad.pt")


def test_a_training_begins_with_the_weights_of_an_earlier_one(tmp_path: Path) -> None:
    data, recipe = squares(32), Recipe(epochs=1, batch=16)
    earlier = Training(SPEC, recipe, data, tmp_path / "earlier.pt").run()
    later = Training(SPEC, replace(recipe, top_rate=1e-4), data)
    later.start_from(tmp_path / "earlier.pt")
    assert later.epoch == 0
    for one, other in zip(earlier.parameters(), later.net.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    other_net = Training(replace(SPEC, channels=24), recipe, data)
    with pytest.raises(DetectorError, match="weights of another network"):
        other_net.start_from(tmp_path / "earlier.pt")


def test_a_training_goes_on_from_a_finished_engine_without_a_guide(tmp_path: Path) -> None:
    data = squares(64)
    earlier = Training(SPEC, Recipe(epochs=6, batch=16), data).run()
    graph = tmp_path / "squares.onnx"
    export.export(earlier, graph)
    later = Training(SPEC, Recipe(epochs=1, batch=16, top_rate=1e-4, guided=False), data)
    later.start_from_engine(graph)
    np.testing.assert_allclose(
        best_of(later.average, data.images).scores, best_of(earlier, data.images).scores, atol=0.02
    )
    guide = [value.clone() for value in later.guide.parameters()]
    later.run()
    for before, after in zip(guide, later.guide.parameters(), strict=True):
        torch.testing.assert_close(before, after)


def test_a_loss_that_is_no_number_ends_the_run_with_advice() -> None:
    training = Training(SPEC, Recipe(epochs=1, batch=16), squares(16))
    with torch.no_grad():
        training.net.heads[0].out.bias.fill_(float("nan"))
    with pytest.raises(DetectorError, match="Lower --rate"):
        training.run()


def test_evidence_is_fitted_and_adds_up() -> None:
    rng = np.random.default_rng(0)
    present = rng.random((4000, 3)) < 0.4
    logit = rng.normal(0, 1, present.shape) + np.where(present, 1.0, -2.0)
    best = (1 / (1 + np.exp(-logit))).astype(np.float32)
    fitted = fit(best, present)
    # Two normal distributions of the same width: log-odds are a line, slope 3, bias log(0.4/0.6) + 1.5.
    np.testing.assert_allclose(fitted.gain, 3, atol=0.35)
    np.testing.assert_allclose(fitted.bias, np.log(2 / 3) + 1.5, atol=0.35)
    np.testing.assert_allclose(fitted.scores(best).sum(1), 1, rtol=1e-5)
    separable = fit(np.where(present, 0.9, 0.1).astype(np.float32), present)
    assert np.isfinite(separable.gain).all()
    certain = neutral(3).scores(np.array([[0.999, 0.001, 0.001]], np.float32))
    assert certain.argmax() == 1
    assert Evidence((1.0,) * 3, (0.0,) * 3) == neutral(3)


def manifest(folder: Path, **changes: str) -> Path:
    rows = []
    for index in range(24):
        data = squares(1, seed=index)
        name = f"p{index}.png"
        cv2.imwrite(str(folder / name), data.images[0].transpose(1, 2, 0))
        box = [("bright", "dark")[int(data.classes[0, 0])], *data.boxes[0, 0].tolist()]
        split = "train" if index < 16 else "test"
        rows.append({"path": name, "split": split, "boxes": json.dumps([box]), "group": f"g{index}"})
    rows[3] |= changes
    with (folder / "m.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "m.csv"


def test_pictures_of_your_own_are_trained_on_and_scored(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--manifest", str(manifest(tmp_path)), "--size", "64x48", "--epochs", "1", "--batch", "8"]
    main(
        [
            *arguments,
            "--channels",
            "16",
            "--name",
            "mine",
            "--out",
            str(out),
            "--work",
            str(tmp_path / "work"),
        ]
    )
    report = json.loads((out / "mine.json").read_text())
    assert report["classes"] == ["bright", "dark"]
    assert report["test"]["pictures"] == 8
    assert (out / "mine.onnx").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": '[["dark", 5, 5, 900, 20]]'}, "does not lie in its picture of 64x48"),
        ({"boxes": "[[1, 2"}, "expected .*class, x1"),
        ({"group": "g20"}, "group 'g20' is in splits"),
        ({"path": "absent.png"}, "cannot be read"),
    ],
)
def test_bad_manifests_are_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        foreign.load(manifest(tmp_path, **changes), "train", (64, 48))


def test_a_class_that_training_has_not_seen_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="not in the training set"):
        foreign.load(manifest(tmp_path), "test", (64, 48), classes=("bright",))
    with pytest.raises(SystemExit, match="cannot be read"):
        main(["--manifest", str(tmp_path / "none.csv")])
