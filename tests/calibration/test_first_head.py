"""A head for classes that the backbone never knew: chosen by cross-validation, refused where there is too little."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.first_head import first_head
from calibration.fits import Lesson
from calibration.teach import scores_of
from tools import few_shot


def lesson(per_class: int, seed: int = 1, informative: str = "taps") -> Lesson:
    """Three classes along three of twelve taps, or along three of four old logits; one altered copy of each picture."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), per_class)
    taps = rng.normal(0, 1, (len(labels), 12)).astype(np.float32)
    logits = rng.normal(0, 1, (len(labels), 4)).astype(np.float32)
    (taps if informative == "taps" else logits)[np.arange(len(labels)), labels] += 5
    count = len(labels)
    return Lesson(
        np.vstack([taps, taps + 0.1]).astype(np.float32),
        np.vstack([logits, logits]).astype(np.float32),
        np.tile(labels, 2),
        np.tile([f"part {i}" for i in range(count)], 2),
        np.concatenate([np.full(count, -1), np.arange(count)]),
        3,
    )


@pytest.mark.parametrize("informative", ["taps", "logits"])
def test_ten_of_each_are_enough_where_the_features_tell_them_apart(informative: str) -> None:
    found, fresh = first_head(lesson(10, informative=informative), 1), lesson(200, 9, informative)
    right = scores_of(found.head, fresh.taps, fresh.logits).argmax(1) == fresh.labels
    assert right.mean() > 0.9
    assert found.accuracy == pytest.approx(right.mean(), abs=0.1)


def test_where_nothing_tells_them_apart_cross_validation_says_so() -> None:
    given = lesson(40)
    guessed = np.random.default_rng(3).permutation(120) % 3
    found = first_head(
        Lesson(given.taps, given.logits, np.tile(guessed, 2), given.groups, given.original, 3), 1
    )
    assert found.accuracy < 0.5


def test_a_class_with_one_part_is_refused_even_if_there_are_copies_of_it() -> None:
    given = lesson(5)
    kept = (given.labels != 2) | (given.groups == "part 10")
    index = np.cumsum(kept) - 1
    few = Lesson(
        given.taps[kept],
        given.logits[kept],
        given.labels[kept],
        given.groups[kept],
        np.where(given.original[kept] < 0, -1, index[given.original[kept]]),
        3,
    )
    with pytest.raises(CalibrationError, match=r"parts per class: \[5, 5, 1\]"):
        first_head(few, 1)


def _pictures(folder: Path, per_class: int) -> Path:
    """Discs and stripes of random place and light."""
    rng = np.random.default_rng(5)
    rows = ["path,class,split"]
    for number in range(2 * per_class):
        name, split = ("disc", "stripe")[number % 2], "train" if number < per_class else "val"
        picture = np.full((120, 160), rng.integers(60, 160), np.uint8)
        x, y = int(rng.integers(40, 120)), int(rng.integers(40, 80))
        if name == "disc":
            cv2.circle(picture, (x, y), 14, int(rng.integers(180, 255)), -1)
        else:
            cv2.line(picture, (x - 35, y), (x + 35, y + 8), int(rng.integers(180, 255)), 3)
        path = folder / f"{number}.png"
        assert cv2.imwrite(str(path), picture)
        rows.append(f"{path.name},{name},{split}")
    manifest = folder / "set.csv"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest


def test_the_command_learns_pictures_the_backbone_never_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, report = _pictures(tmp_path, 24), tmp_path / "r.json"
    few_shot.main(["--manifest", str(manifest), "--samples", "8", "--runs", "1", "--report", str(report)])
    said = json.loads(report.read_text(encoding="utf-8"))
    assert said["test_pictures"] == 24
    assert said["runs"][0]["pictures"] == 16
    assert said["accuracy"] > 0.9


def test_the_command_says_when_a_class_has_too_few(tmp_path: Path) -> None:
    manifest = _pictures(tmp_path, 8)
    with pytest.raises(SystemExit, match="4 training pictures of 'disc', expected at least 10"):
        few_shot.main(["--manifest", str(manifest), "--samples", "10"])
