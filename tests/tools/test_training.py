"""The trainer on tiny pictures: learns, repeats itself, resumes, and stops where it must."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'edge-inspection[train]'")

import cv2  # noqa: E402

from edge.config import engine_path  # noqa: E402
from tools import measure  # noqa: E402
from tools import train as train_command  # noqa: E402
from tools.dataset import normalise  # noqa: E402
from tools.errors import TrainError  # noqa: E402
from tools.training import export, fit  # noqa: E402
from tools.training.augment import Augmentation, augment  # noqa: E402
from tools.training.engine_weights import layers_of, take_over  # noqa: E402
from tools.training.fit import Recipe, Training, class_weights  # noqa: E402
from tools.training.sets import Labelled, known_classes, manifest_rows, read_split  # noqa: E402
from tools.training.start import SHIPPED, starting_net  # noqa: E402
from tools.training.twin_sets import cells_of, twin_set  # noqa: E402
from tools.training.weights import Trained, load_weights, save_weights  # noqa: E402
from tools.training.zoo import NETWORKS, build, network  # noqa: E402

CLASSES = ("left", "right")
SIZE = (32, 24)


def bright_half(count: int, seed: int) -> Labelled:
    """Which half of the picture is bright: a set that any network learns in seconds."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.integers(20, 60, (count, 3, SIZE[1], SIZE[0]), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, :, :4] += 120
        if label:
            image[:, 8:12, 14:20] += 150
    cells = np.zeros((count, 2, 2), np.uint8)
    cells[labels == 1] = 1
    return Labelled(images, labels, CLASSES, None, cells)


def recipe(**changes: object) -> Recipe:
    values: dict[str, object] = {
        "epochs": 4, "batch": 8, "top_rate": 3e-3, "weight_decay": 0.01, "seed": 3,
        "augmentation": Augmentation(shift_px=1, extreme_share=0.0),
    }  # fmt: skip
    return Recipe(**(values | changes))  # type: ignore[arg-type]


def training(work: Path, **changes: object) -> Training:
    torch.manual_seed(5)
    net = build(network("plain-small"), 2, SIZE)
    guides = (("features", 128),)
    return Training(
        net, recipe(**changes), bright_half(64, 1), bright_half(32, 2), work, name="t", guides=guides
    )


def weights_of(net: torch.nn.Module) -> np.ndarray:
    return np.concatenate([value.detach().numpy().ravel() for value in net.parameters()])


def test_learns_and_keeps_its_best(tmp_path):
    fitted = training(tmp_path, epochs=10).run()
    assert fitted.best_accuracy >= 0.95
    assert fitted.best_accuracy == max(entry["accuracy"] for entry in fitted.history)


def test_a_killed_run_goes_on_as_if_it_had_never_stopped(tmp_path):
    whole = training(tmp_path / "whole").run()
    training(tmp_path / "parts").run(stop_after=13)
    resumed = training(tmp_path / "parts").run()
    np.testing.assert_array_equal(weights_of(resumed.net), weights_of(whole.net))
    assert [entry["step"] for entry in resumed.history] == [entry["step"] for entry in whole.history]


def test_another_seed_gives_another_network(tmp_path):
    first, second = training(tmp_path / "a").run(), training(tmp_path / "b", seed=4).run()
    assert not np.array_equal(weights_of(first.net), weights_of(second.net))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    training(tmp_path).run(stop_after=2)
    with pytest.raises(TrainError, match="another training"):
        training(tmp_path, batch=16).run()


def test_a_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"half a")
    with pytest.raises(TrainError, match=r"checkpoint\.pt: not a checkpoint"):
        training(tmp_path).run()


def test_a_loss_that_is_no_number_stops_and_leaves_the_checkpoint(tmp_path):
    training(tmp_path).run(stop_after=3)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    broken = training(tmp_path)
    broken.net.register_forward_hook(lambda _m, _i, logits: logits * float("nan"))
    with pytest.raises(TrainError, match=r"loss is nan at step 4 of 32 .*lower --rate"):
        broken.run()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    training(tmp_path).run(stop_after=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(_state: object, path: Path) -> None:
        path.write_bytes(b"begun")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainError, match="No space left on device"):
        training(tmp_path).run(stop_after=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_stops_early_when_nothing_gets_better(tmp_path):
    task = training(tmp_path, epochs=50, top_rate=1e-9, patience=2)
    fitted = task.run()
    assert len(fitted.history) < 50


def test_class_weights_are_one_over_the_root_of_the_frequency():
    weights = class_weights(np.array([0] * 90 + [1] * 10), 2)
    assert float(weights[1] / weights[0]) == pytest.approx(3.0)
    assert float(weights[0] * 0.9 + weights[1] * 0.1) == pytest.approx(1.0)
    with pytest.raises(TrainError, match=r"\[1\] have no training picture"):
        class_weights(np.zeros(4, np.int64), 2)


def test_cells_follow_their_pictures():
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    images[0, :, 0:16, 0:16] = 200
    cells = torch.tensor([[[4, 0], [0, 0]]])
    plan = Augmentation(shift_px=0, extreme_share=0, usual_ev=0, white_balance=0, quarter_turns=True)
    seen = set()
    for seed in range(24):
        changed, turned = augment(images, cells, plan, torch.Generator().manual_seed(seed))
        assert turned is not None
        bright = (changed[0, 0, ::16, ::16] > 100).long() * 4
        assert torch.equal(bright, turned[0])
        seen.add(int(turned[0].argmax()))
    assert seen == {0, 1, 2, 3}


def test_boxes_become_cells():
    grid = cells_of(np.array([[1, 3, 17.0, 2.0, 33.0, 14.0]], np.float32), 2, (48, 32))
    assert grid.shape == (2, 2, 3)
    assert grid[0].sum() == 0
    assert grid[1].tolist() == [[0, 3, 3], [0, 0, 0]]


def test_rendered_sets_are_kept_and_taken_up_again(tmp_path):
    first = twin_set("train", 6, 3, (64, 48), tmp_path)
    again = twin_set("train", 6, 3, (64, 48), tmp_path)
    np.testing.assert_array_equal(first.images, again.images)
    assert len(list(tmp_path.iterdir())) == 1
    assert ((first.cells.max((1, 2)) > 1) == (first.labels > 1)).all()


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_gives_logits_and_maps(name):
    entry = network(name)
    size = (64, 48)
    net = build(entry, 5, size).eval()
    pictures = torch.zeros(2, 3, size[1], size[0])
    with torch.inference_mode():
        assert net(pictures).shape == (2, 5)
        maps = net.features(pictures)
    assert maps.ndim == 4
    assert min(maps.shape[2:]) >= 1


def test_unknown_networks_are_named():
    with pytest.raises(TrainError, match=r"no network is called 'lenet'; expected one of: .*resnet50"):
        network("lenet")


def test_export_is_checked_against_torch(tmp_path, monkeypatch):
    net = build(network("plain-small"), 2, SIZE).eval()
    examples = np.random.default_rng(0).normal(size=(3, 3, SIZE[1], SIZE[0])).astype(np.float32)
    assert export.export_onnx(net, tmp_path / "a.onnx", SIZE, examples) < 1e-4
    monkeypatch.setattr(export.measure, "score", lambda _path, images: np.zeros((len(images), 2), np.float32))
    with pytest.raises(TrainError, match="scores differ from torch"):
        export.export_onnx(net, tmp_path / "b.onnx", SIZE, examples)


def test_weights_come_back(tmp_path):
    net = build(network("plain-small"), 2, SIZE).eval()
    save_weights(tmp_path / "w.pt", Trained(net, "plain-small", SIZE, CLASSES, 1.5, 0.9))
    back = load_weights(tmp_path / "w.pt")
    np.testing.assert_array_equal(weights_of(back.net), weights_of(net))
    assert (back.size, back.classes, back.seconds) == (SIZE, CLASSES, 1.5)
    (tmp_path / "bad.pt").write_bytes(b"no")
    with pytest.raises(TrainError, match=r"bad\.pt: no trained weights"):
        load_weights(tmp_path / "bad.pt")


def write_set(folder: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    """Pictures of two textures, and their manifest."""
    rng = np.random.default_rng(7)
    with (folder / "set.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "split", "group"])
        for path, label, split, group in rows:
            picture = rng.integers(0, 80, (40, 40, 3), dtype=np.uint8)
            if label == "striped":
                picture[::4] = 220
            cv2.imwrite(str(folder / path), picture)
            writer.writerow([path, label, split, group])
    return folder / "set.csv"


def rows_of(count: int) -> list[tuple[str, str, str, str]]:
    splits = ["train"] * (count * 3 // 4) + ["val"] * (count - count * 3 // 4)
    return [
        (f"{label}{index}.png", label, split, f"{label}{index}")
        for label in ("plain", "striped")
        for index, split in enumerate(splits)
    ]


def test_a_foreign_set_from_manifest_to_report(tmp_path, capsys):
    manifest = write_set(tmp_path, rows_of(24))
    train_command.main(
        ["--manifest", str(manifest), "--model", "plain-small", "--size", "32x32", "--epochs", "8", "--batch",
         "12", "--rate", "3e-3", "--work", str(tmp_path / "work")]
    )  # fmt: skip
    report = json.loads((tmp_path / "work" / "report.json").read_text())
    assert report["accuracy"] >= 0.9
    assert set(report["recall"]) == {"plain", "striped"}
    for name in ("curves.png", "confusion.png"):
        assert cv2.imread(str(tmp_path / "work" / name)) is not None
    assert not list((tmp_path / "work").glob("unfinished-*"))


def test_a_leaking_split_is_refused(tmp_path, capsys):
    rows = rows_of(8)
    rows[0] = (*rows[0][:3], rows[7][3])
    manifest = write_set(tmp_path, rows)
    with pytest.raises(SystemExit, match=r"group 'plain7' is in split 'train' .*same physical part"):
        train_command.main(["--manifest", str(manifest), "--work", str(tmp_path / "work")])
    assert not (tmp_path / "work").exists()


def test_a_broken_picture_is_named_with_its_line(tmp_path):
    manifest = write_set(tmp_path, rows_of(8))
    (tmp_path / "plain1.png").write_bytes(b"\x89PNG broken")
    rows = manifest_rows(manifest)
    with pytest.raises(TrainError, match=r"plain1\.png \(line 3 of the manifest\): missing or broken"):
        read_split(rows, "train", known_classes(rows), (32, 32))


def test_a_class_with_one_picture_is_refused(tmp_path):
    rows = [*rows_of(8), ("odd.png", "odd", "train", "odd")]
    with pytest.raises(TrainError, match=r"class 'odd' has 1 training picture"):
        known_classes(manifest_rows(write_set(tmp_path, rows)))


@pytest.mark.parametrize(
    ("text", "message"),
    [("path,class\na.png,x\n", "no column"), ("path,class,split\n", "no row")],
)
def test_a_manifest_without_what_it_needs(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(TrainError, match=message):
        manifest_rows(tmp_path / "m.csv")


def test_rates_rise_and_fall(tmp_path):
    task = training(tmp_path, epochs=10)
    rates = [task._rate(step) for step in range(task.steps)]
    assert max(rates) == pytest.approx(3e-3, rel=0.02)
    assert rates[0] < max(rates) / 3
    assert rates[-1] < max(rates) / 50
    assert fit.MEAN == (0.4, 0.4, 0.4)


def test_a_network_begins_with_what_a_finished_engine_knows(tmp_path):
    fitted = training(tmp_path / "first", epochs=6).run()
    data, examples = bright_half(64, 1), bright_half(256, 7)
    pictures = normalise(examples.images, fit.MEAN, fit.STD)
    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    export.export_onnx(fitted.net, fp32, SIZE, pictures[:8])
    export.quantise(fp32, int8, data.images)
    for graph, close in ((fp32, 1e-3), (int8, 0.1)):
        again = build(network("plain-small"), 2, SIZE)
        scored = torch.nn.Sequential(again, torch.nn.Softmax(1))
        take_over(again, graph, torch.from_numpy(pictures), scored)
        with torch.inference_mode():
            found = scored(torch.from_numpy(pictures)).numpy()
        np.testing.assert_allclose(found, measure.score(graph, pictures), atol=close)


def test_an_engine_of_another_network_is_refused(tmp_path):
    pictures = torch.zeros(4, 3, 24, 32)
    net = build(network("plain"), 2, SIZE)
    scored = torch.nn.Sequential(net, torch.nn.Softmax(1))
    with pytest.raises(TrainError, match=r"gate\.onnx: no layer of shape .* an engine of the same network"):
        take_over(net, engine_path("shipped:gate").with_suffix(".onnx"), pictures, scored)
    with pytest.raises(TrainError, match="not an ONNX file"):
        (tmp_path / "x.onnx").write_bytes(b"\x00broken")
        take_over(net, tmp_path / "x.onnx", pictures, scored)


def test_other_classes_begin_with_the_features_of_a_shipped_engine_and_a_new_head():
    """Asked at another size than the engine's, as a set of foreign pictures is."""
    data = bright_half(64, 1)
    net, seconds = starting_net(network("plain"), data, SIZE, SHIPPED)
    shipped = {layer.weight.tobytes() for layer in layers_of(SHIPPED)}
    taken = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert taken
    assert all(conv.weight.detach().numpy().tobytes() in shipped for conv in taken)
    assert net.head.fc.out_features == len(data.classes)
    assert seconds == 0


def test_an_earlier_training_goes_on_whole_or_lends_its_features(tmp_path):
    data = bright_half(64, 1)
    first = build(network("plain-small"), 2, SIZE)
    kept = tmp_path / "weights.pt"
    save_weights(kept, Trained(first, "plain-small", SIZE, data.classes, 12.0, 0.5))
    same, seconds = starting_net(network("plain-small"), data, SIZE, kept)
    assert seconds == 12.0
    torch.testing.assert_close(same.state_dict(), first.state_dict())
    renamed = Labelled(data.images, data.labels, ("left", "elsewhere"))
    other, _ = starting_net(network("plain-small"), renamed, SIZE, kept)
    torch.testing.assert_close(other.features.state_dict(), first.features.state_dict())
    assert not torch.equal(other.head.fc.weight, first.head.fc.weight)
    with pytest.raises(TrainError, match="features of another network than 'plain'"):
        starting_net(network("plain"), renamed, SIZE, kept)
