"""``edge evaluate`` and ``edge calibrate thresholds`` on a few rendered parts; every figure is counted again here."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from calibration.predictions import Predictions
from calibration.thresholds import Wish
from edge.check import explain as explain_line
from edge.config import engine_path, example_path, load_line
from edge.errors import ConfigError
from edge.inspection.recipe import Recipe
from edge.inspection.settings import ExposureSettings
from edge.yaml_file import load_yaml
from engines.bounds import upper_bound
from engines.manifest import load_manifest
from tools.calibrate.__main__ import main as calibrate
from tools.calibrate.table import TableMaker
from tools.evaluate import asking
from tools.evaluate.__main__ import main as evaluate

PARTS = 240


@pytest.fixture(scope="module", autouse=True)
def short_timing() -> Iterator[None]:
    """What the figures are is not tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "_TIMED_RUNS", 70)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(scope="module")
def run(folder: Path) -> dict[str, object]:
    """One evaluation of the line that is the default."""
    arguments = f"--twin --parts {PARTS} --seed 3 --speeds 0.6:2.4:0.6 --report {folder}/r.json"
    assert evaluate([*arguments.split(), "--predictions", str(folder / "p.npz")]) == 0
    return dict(json.loads((folder / "r.json").read_text()))


def test_the_report_holds_what_can_be_counted_again(folder: Path, run: dict) -> None:
    p = Predictions.load(folder / "p.npz")
    assert len(p) == run["parts"] == PARTS
    assert run["classifier"]["accuracy"] == pytest.approx(
        (p.classifier.argmax(1) == p.class_id).mean(), abs=1e-6
    )
    assert run["gate"]["accuracy"] == pytest.approx((p.gate.argmax(1) == p.class_id).mean(), abs=1e-6)
    assert run["data_sha256"] == p.sha256
    usual = np.abs(p.exposure_ev) <= 0.5
    assert run["defective"] == ((p.class_id > 1) & usual).sum()
    assert run["badly_lit"]["parts"] == (~usual).sum() > 0
    assert set(run["classifier"]["per_class"]) == {"no_part", "flawless", "crack", "stain", "dent", "excess"}
    assert sum(run["by_exposure"].values()) > 0
    assert {"box_iou", "map50"} <= run["gate"].keys()
    assert "int8_drop_points" in run


def test_the_rows_of_the_speeds(run: dict) -> None:
    rows = run["routing"]
    assert [row["speed_m_per_s"] for row in rows] == [0.6, 1.2, 1.8, 2.4]
    assert [row["budget_ms"] for row in rows] == [15.0, 15.0, 10.0, 7.5]
    for row in rows:
        assert row["escape_upper_95"] == pytest.approx(
            upper_bound(row["escapes"], row["defective"]), abs=1e-6
        )
        assert row["overkill_rate"] == pytest.approx(row["overkills"] / row["good"], abs=1e-6)
        assert 0 < row["gate_share"] <= 1
        assert row["mean_engine_ratio"] > 0


def test_the_same_seed_gives_the_same_scores(folder: Path, run: dict) -> None:
    again = folder / "again.npz"
    assert evaluate(f"--twin --parts 40 --seed 3 --predictions {again}".split()) == 0
    p = Predictions.load(again)
    assert np.array_equal(p.gate, Predictions.load(folder / "p.npz").gate[:40])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    with (tmp_path / "set.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "class", "split", "boxes", "group", "exposure"))
        for index, (name, split) in enumerate((("flawless", "test"), ("crack", "test"), ("dent", "train"))):
            cv2.imwrite(str(tmp_path / f"{index}.png"), rng.integers(40, 200, (90, 120, 3), dtype=np.uint8))
            writer.writerow((f"{index}.png", name, split, "", index, "0"))
    return tmp_path / "set.csv"


def test_a_manifest_of_pictures_is_evaluated_on_its_split(pictures: Path) -> None:
    report = pictures.parent / "r.json"
    assert evaluate(["--manifest", str(pictures), "--report", str(report)]) == 0
    result = json.loads(report.read_text())
    assert result["parts"] == 2
    assert set(result["classifier"]["per_class"]) == {"flawless", "crack"}


def _unknown_class(path: Path) -> None:
    path.write_text(path.read_text().replace("crack", "rust"))


def _broken_picture(path: Path) -> None:
    (path.parent / "1.png").write_bytes(b"no picture")


def _no_columns(path: Path) -> None:
    path.write_text("a,b\n1,2\n")


def _no_rows(path: Path) -> None:
    path.write_text(path.read_text().replace(",test,", ",train,"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_unknown_class, "set.csv:3: class 'rust' is not one of the engines'"),
        (_broken_picture, "1.png: not a picture that can be read"),
        (_no_columns, "expected path and class"),
        (_no_rows, "no row of split 'test'"),
        (Path.unlink, "cannot be read"),
    ],
)
def test_a_bad_manifest_is_refused_and_nothing_is_written(
    pictures: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], message: str
) -> None:
    spoil(pictures)
    report = pictures.parent / "r.json"
    assert evaluate(["--manifest", str(pictures), "--report", str(report)]) == 2
    assert message in capsys.readouterr().err
    assert not report.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--twin --speeds 2:1", "expected from:to:step"),
        ("--twin --speeds 0:1:0.5", "speeds above 0"),
        ("--twin --speeds 1:2:0", "the step must be above 0"),
        ("--twin --parts 0", "--parts 0"),
        ("--twin --report /nowhere/r.json", "folder of the report does not exist"),
        ("--twin --line nothing.yaml", "cannot be read"),
    ],
)
def test_bad_arguments(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(arguments.split()) == 2
    assert message in capsys.readouterr().err


# --- calibrate -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Path:
    path = folder / "recipe.yaml"
    arguments = f"thresholds --out {path} --learn-parts 300 --parts 300 --escape-rate 0.1 --speeds 0.6:3:0.6"
    assert (
        calibrate([*arguments.split(), "--cache", str(folder / "kept"), "--picture", str(folder / "r.png")])
        == 0
    )
    return path


def _line(folder: Path, recipe: Path) -> Path:
    """The demo line with a recipe in place of its routing."""
    text = example_path("demo.yaml").read_text()
    data = {k: v for k, v in yaml.safe_load(text).items() if k not in Recipe.model_fields}
    data["recipe"] = recipe.name
    certificate = load_yaml(recipe, Recipe).certificate
    assert certificate is not None
    low, high = certificate.data.brightness_mean
    data["exposure"] = {"min_mean": low - 1, "max_mean": high + 1}
    path = folder / "line.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_the_certificate_recomputes_from_its_raw_counts(recipe: Path) -> None:
    certificate = load_yaml(recipe, Recipe).certificate
    assert certificate is not None
    level = 1 - (1 - certificate.confidence) / certificate.tests
    for step in certificate.steps:
        assert step.escape_upper == pytest.approx(upper_bound(step.escapes, step.defective, level))
        assert step.escape_upper <= certificate.escape_rate
    assert certificate.tests == 2


def test_the_certified_parts_give_the_certified_counts_again(folder: Path, recipe: Path) -> None:
    line = _line(folder, recipe)
    kept = next((folder / "kept").glob("*certification*.npz"))
    report = folder / "again.json"
    assert evaluate(f"--twin --line {line} --predictions {kept} --speeds 0.6 --report {report}".split()) == 0
    row = json.loads(report.read_text())["routing"][0]
    certificate = load_line(line).certificate
    assert certificate is not None
    step = next(step for step in certificate.steps if 0.6 in step.up_to_m_per_s)
    assert (row["escapes"], row["defective"]) == (step.escapes, step.defective)
    assert json.loads(report.read_text())["certificate"] == "holds"
    assert (folder / "r.png").stat().st_size > 1000


@pytest.mark.parametrize(("classifier_p999_ms", "too_fast"), [(1.0, ()), (5.0, (1.8, 2.4, 3.0))])
def test_each_speed_takes_the_way_that_rejects_fewer_good_parts(
    folder: Path, recipe: Path, classifier_p999_ms: float, too_fast: tuple[float, ...]
) -> None:
    """Budgets of the demo: 15 ms up to 1.2 m/s, then 10, 7.5 and 6; gate and preparing take 1.5, a pass two looks."""
    learning, parts = (
        _timed(next((folder / "kept").glob(f"*{name}*.npz")), 0.8 * classifier_p999_ms)
        for name in ("calibration", "certification")
    )
    line = load_line(example_path("demo.yaml"))
    maker = TableMaker(
        line=line,
        manifest=load_manifest(engine_path(line.engines.gate)),
        learning=learning,
        wish=Wish(escape_rate=0.1),
        view="mirrored",
        timing=asking.LineTiming(1.0, 0.8 * classifier_p999_ms, 1.2, classifier_p999_ms, real_time=True),
    )
    speeds = (0.6, 1.2, 1.8, 2.4, 3.0)
    both, alone = maker.certify(parts, speeds)
    better = both if both.certified.counts.overkills <= alone.certified.counts.overkills else alone
    assert set(alone.speeds) >= set(too_fast)
    assert set(better.speeds) >= set(speeds) - set(too_fast)
    assert sorted(both.speeds + alone.speeds) == list(speeds)


def test_with_parts_for_one_sequence_only_the_classifier_is_tested(folder: Path, recipe: Path) -> None:
    kept = _timed(next((folder / "kept").glob("*certification*.npz")), 1.0)
    defective = np.flatnonzero(kept.class_id > 1)
    few = kept.pick(np.isin(np.arange(len(kept)), defective[:32]) | (kept.class_id <= 1))
    line = load_line(example_path("demo.yaml"))
    maker = TableMaker(
        line=line,
        manifest=load_manifest(engine_path(line.engines.gate)),
        learning=_timed(next((folder / "kept").glob("*calibration*.npz")), 1.0),
        wish=Wish(escape_rate=0.1),  # 29 parts for one sequence, 36 for two
        view="mirrored",
        timing=asking.LineTiming(1.0, 1.0, 1.2, 1.2, real_time=True),
    )
    (way,) = maker.certify(few, (0.6, 1.2))
    assert (way.name, way.speeds) == ("gate and classifier", (0.6, 1.2))
    assert way.certified.upper == pytest.approx(upper_bound(0, 32))


def _timed(path: Path, classifier_ms: float) -> Predictions:
    kept = Predictions.load(path)
    given = {"prepare_ms": 0.5, "gate_ms": 1.0, "classifier_ms": classifier_ms}
    return replace(kept, **{name: np.full(len(kept), ms, np.float32) for name, ms in given.items()})


def _cells(table: object) -> str:
    from rich.console import Console

    console = Console(width=400)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_check_shows_when_recipe_engines_and_certificate_do_not_match(folder: Path, recipe: Path) -> None:
    line = load_line(_line(folder, recipe))
    assert "holds: escape rate ≤ 10 %" in _cells(explain_line(line))
    wide = line.model_copy(update={"exposure": ExposureSettings(min_mean=2)})
    assert "exposure.min_mean 2 lets darker frames through" in _cells(explain_line(wide))
    looser = line.routing[0].model_copy(update={"gate_good": 0.1})
    changed = line.model_copy(update={"routing": (looser, *line.routing[1:])})
    assert "does not hold: thresholds, scores, retest or rules were changed" in _cells(explain_line(changed))
    assert line.certificate is not None
    engines = {**line.certificate.engines, "gate": "0" * 64}
    other = line.model_copy(update={"certificate": line.certificate.model_copy(update={"engines": engines})})
    assert "does not hold: gate: certified was 000000000000" in _cells(explain_line(other))


def test_a_recipe_and_sections_of_its_own_are_one_too_many(
    folder: Path, recipe: Path, tmp_path: Path
) -> None:
    shutil.copy(recipe, tmp_path / recipe.name)
    line = _line(tmp_path, tmp_path / recipe.name)
    line.write_text(line.read_text() + "retest: {view: none}\n")
    with pytest.raises(ConfigError, match="retest: here and in the recipe"):
        load_line(line)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--parts 2000", "2000 defective parts cannot show an escape rate of at most 0.1 %"),
        ("--escape-rate 0", "--escape-rate 0.0"),
        ("--out /nowhere/r.yaml", "its folder does not exist"),
    ],
)
def test_what_cannot_be_certified(
    tmp_path: Path, arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "recipe.yaml"
    assert calibrate(["thresholds", "--out", str(out), *arguments.split()]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
