"""Marks that only teach features: drawn, told apart while training, gone from the engine."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.twin.marks import DRAW_MARKS, FIRST_MARK, MARKS, plan_marks
from tools.twin.parts import CLASSES, FLAWLESS, UNSEEN, plan_parts
from tools.twin.render import CameraModel, render

CAMERA = CameraModel()


@pytest.mark.parametrize("severity", [0.0, 1.0])
def test_every_kind_changes_the_picture_in_its_box_alone(severity: float) -> None:
    for spec in plan_marks(3 * len(MARKS), 4, namespace="test"):
        marked = render(replace(spec, severity=severity), CAMERA)
        ((class_id, x1, y1, x2, y2),) = marked.boxes
        assert class_id == spec.class_id
        clean = render(replace(spec, class_id=FLAWLESS), CAMERA).pixels
        change = cv2.absdiff(marked.pixels, clean)
        box = slice(max(0, int(y1) - 8), int(y2) + 9), slice(max(0, int(x1) - 8), int(x2) + 9)
        assert (change[box] > 6).sum() >= 10, (MARKS[class_id - FIRST_MARK], severity)
        change[box] = 0
        assert (change > 25).sum() < 250, (MARKS[class_id - FIRST_MARK], severity)


def test_every_kind_is_planned_as_often_and_none_has_the_number_of_another_class() -> None:
    counts = np.bincount([spec.class_id for spec in plan_marks(5 * len(MARKS), 1, namespace="test")])
    assert not counts[:FIRST_MARK].any()
    assert (counts[FIRST_MARK:] == 5).all()
    assert len(DRAW_MARKS) == len(MARKS) == len(counts) - FIRST_MARK
    assert len(CLASSES) + len(UNSEEN) == FIRST_MARK


def test_nothing_like_the_unseen_defects_is_among_them() -> None:
    """A scratch is a straight line brighter than the metal, corrosion a patch of dark pits."""
    straight = {mark for mark in MARKS if mark.split("-")[0] in {"stroke", "hatch"}}
    assert {mark.split("-")[1] for mark in straight} == {"dark", "tint"}
    assert not {"dots-dark", "cloud-dark"} & set(MARKS)


def test_marks_are_parts_of_their_own() -> None:
    marks = {spec.render_seed for spec in plan_marks(50, 1, namespace="train")}
    assert not marks & {spec.render_seed for spec in plan_parts(50, 1, namespace="train")}


torch = pytest.importorskip("torch", reason="needs torch: pip install 'edge-inspection[train]'")

from tools.training.augment import Augmentation  # noqa: E402
from tools.training.fit import Recipe, Training  # noqa: E402
from tools.training.objective import Objective  # noqa: E402
from tools.training.sets import Labelled  # noqa: E402
from tools.training.start import SHIPPED, starting_net  # noqa: E402
from tools.training.twin_sets import twin_set  # noqa: E402
from tools.training.zoo import network  # noqa: E402

SIZE = (64, 48)
EVERY = CLASSES + MARKS


def test_a_set_with_marks_has_their_kinds_behind_the_classes_of_the_line(tmp_path: Path) -> None:
    plain = twin_set("train", 20, 3, SIZE, tmp_path)
    both = twin_set("train", 20, 3, SIZE, tmp_path, marked=len(MARKS))
    assert both.verdicts == plain.classes == CLASSES
    assert both.classes == EVERY
    np.testing.assert_array_equal(both.images[:20], plain.images)
    np.testing.assert_array_equal(both.labels[20:], np.arange(len(CLASSES), len(EVERY)))
    assert both.cells is not None
    np.testing.assert_array_equal(both.cells[20:].max((1, 2)), both.labels[20:])


def labelled(labels: list[int], classes: tuple[str, ...] = EVERY, marks: int = len(MARKS)) -> Labelled:
    images = np.zeros((len(labels), 3, SIZE[1], SIZE[0]), np.uint8)
    return Labelled(images, np.array(labels), classes, marks=marks)


def test_a_mark_that_would_pass_costs_more_than_one_that_would_not() -> None:
    crack, mark = CLASSES.index("crack"), len(CLASSES) + 3
    objective = Objective(labelled([mark]), torch.ones(len(EVERY)))
    costs = []
    for verdict in (FLAWLESS, crack):
        logits = torch.zeros(1, len(EVERY))
        logits[0, mark], logits[0, verdict] = 9.0, 6.0
        costs.append(float(objective(logits, torch.tensor([mark]))))
    assert costs[0] > costs[1] + 3


def test_without_marks_the_objective_is_cross_entropy() -> None:
    data = labelled([0, 1, 2, 3], CLASSES, 0)
    weights = torch.rand(len(CLASSES)) + 0.5
    logits, labels = torch.randn(4, len(CLASSES)), torch.tensor([0, 1, 2, 3])
    expected = torch.nn.functional.cross_entropy(logits, labels, weights)
    torch.testing.assert_close(Objective(data, weights)(logits, labels), expected)


def test_the_trained_network_knows_no_mark(tmp_path: Path) -> None:
    train = twin_set("train", 40, 3, SIZE, tmp_path / "sets", marked=len(MARKS))
    validation = twin_set("validation", 24, 3, SIZE, tmp_path / "sets")
    net, _ = starting_net(network("plain"), train, SIZE, SHIPPED)
    recipe = Recipe(1, 16, 1e-4, 0.0, 1, augmentation=Augmentation(shift_px=0))
    guides = (("features", 160),)
    fitted = Training(net, recipe, train, validation, tmp_path / "work", name="t", guides=guides).run()
    assert fitted.net(torch.zeros(1, 3, SIZE[1], SIZE[0])).shape == (1, len(CLASSES))


def test_a_training_with_marks_begins_with_the_verdicts_of_the_engine() -> None:
    """Features and head: at the engine's own size every part is judged as before."""
    parts = twin_set("train", 8, 1, (224, 168))
    known, _ = starting_net(network("plain"), parts, (224, 168), SHIPPED)
    fresh, _ = starting_net(network("plain"), labelled([0], EVERY), (224, 168), SHIPPED)
    picture = torch.from_numpy(parts.images[:2].astype(np.float32) / 64 - 1.6)
    with torch.no_grad():
        torch.testing.assert_close(fresh.eval()(picture)[:, : len(CLASSES)], known.eval()(picture))
