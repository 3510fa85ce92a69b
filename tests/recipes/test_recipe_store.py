"""Bundles: what is verified, what becomes active, and the way back."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.config import LineConfig, load_line
from edge.errors import ConfigError, RecipeError
from edge.inspection.settings import InspectionConfig
from edge.recipes.bundle import StoredRecipe
from edge.recipes.store import RecipeStore
from edge.roles import Meeting, role_settings
from edge.service.machine import CpuPlan
from engines.audit import AuditLog
from engines.store.keys import KeyRing


def test_a_line_file_becomes_a_recipe_with_everything_that_decides(
    first: StoredRecipe, demo_line: LineConfig
) -> None:
    config = first.config(7)
    for name in ("routing", "scores", "retest", "rules", "exposure"):
        assert getattr(config, name) == getattr(demo_line, name)
    assert config.number == 7
    assert config.gate.is_file()
    assert first.certificate_state == "holds"


def test_activation_is_audited_and_rollback_is_the_one_before(
    store: RecipeStore, first: StoredRecipe, second: StoredRecipe
) -> None:
    store.activate(first.id, why="start")
    with pytest.raises(RecipeError, match=r"does not hold.*--uncertified"):
        store.activate(second.id)
    assert store.active_id("bracket") == first.id
    store.activate(second.id, why="trial", uncertified=True)
    assert store.find("bracket").id == second.id
    store.rollback("bracket", why="too strict")
    assert store.active_id("bracket") == first.id
    log = AuditLog(store.root / "audit.jsonl")
    assert [(row["before"], row["after"], row["why"]) for row in log.rows()] == [
        (None, first.id, "start"),
        (first.id, second.id, "trial"),
        (second.id, first.id, "too strict"),
    ]
    assert log.check() == []
    with pytest.raises(RecipeError, match="nothing to go back to"):
        store.rollback("bracket")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "gate/gate_detector.onnx").write_bytes(b"x"), "signed were"),
        (lambda folder: (folder / "recipe.yaml").unlink(), "recipe.yaml is missing"),
        (lambda folder: (folder / "gate/more.bin").write_bytes(b"x"), "which nobody signed"),
        (
            lambda folder: (folder / "bundle.json").write_text(
                (folder / "bundle.json").read_text().replace("bracket", "brocket")
            ),
            "not of this content",
        ),
        (lambda folder: (folder / "bundle.sig").write_text("{}"), "signature is damaged"),
    ],
)
def test_what_was_changed_after_signing_is_not_used(
    store: RecipeStore, first: StoredRecipe, change: object, said: str
) -> None:
    store.activate(first.id)
    change(first.folder)  # type: ignore[operator]
    with pytest.raises(RecipeError, match=said):
        store.find("bracket")


def test_a_key_that_is_no_longer_trusted_ends_its_recipes(
    store: RecipeStore, first: StoredRecipe, tmp_path: Path
) -> None:
    ring = KeyRing(tmp_path / "keys")
    ring.distrust(ring.signer().id)
    with pytest.raises(RecipeError, match="not trusted here"):
        store.find(first.id)


def test_a_signature_of_an_engine_entry_is_none_of_a_recipe(store: RecipeStore, first: StoredRecipe) -> None:
    from engines.store.keys import ENGINE

    content = (first.folder / "bundle.json").read_bytes()
    (first.folder / "bundle.sig").write_bytes(store.keys.signer().seal(content, ENGINE))
    with pytest.raises(RecipeError, match="not of this content"):
        store.find(first.id)


def line_file(folder: Path, text: str) -> Path:
    path = folder / "line.yaml"
    path.write_text(
        "name: changes\ncamera: {kind: twin, max_frame_mib: 1, frame_timeout_ms: 60}\n"
        "plc: {kind: twin, handshake: true}\n" + text,
        encoding="utf-8",
    )
    return path


def inspection(path: Path) -> InspectionConfig:
    config = load_line(path)
    told = role_settings(config, Meeting.of(config, path.parent), CpuPlan.for_this_machine(None))[
        "inspection"
    ]
    assert isinstance(told, InspectionConfig)
    return told


def test_a_line_runs_by_a_stored_pair_and_knows_the_others(
    store: RecipeStore, first: StoredRecipe, second: StoredRecipe, tmp_path: Path
) -> None:
    store.activate(first.id)
    config = load_line(
        line_file(tmp_path, f"recipe: stored:bracket\nrecipe_number: 1\nrecipes: {{2: '{second.id}'}}\n")
    )
    store.activate(second.id, uncertified=True)  # the line that was read means what was active then
    told = role_settings(config, Meeting.of(config, tmp_path), CpuPlan.for_this_machine(None))
    inspection = told["inspection"].model_dump()
    assert Path(inspection["gate"]).is_relative_to(first.folder)
    assert Path(inspection["classifier"]).is_relative_to(first.folder)
    assert [recipe["number"] for recipe in inspection["recipes"]] == [2]
    assert inspection["recipes"][0]["routing"] != inspection["routing"]
    assert told["actuation"].model_dump()["recipes"] == (1, 2)


SHIPPED = "engines: {gate: shipped:gate, classifier: shipped:classifier}\nrecipe: shipped:demo\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SHIPPED + "recipes: {2: nothing}\n", "recipe 'nothing'.*edge recipe list"),
        (SHIPPED + "recipes: {2: bracket}\nrecipe_number: 2\n", "expected every number once"),
        (SHIPPED + "recipes: {0: bracket}\n", "recipes.0"),
        (SHIPPED + f"recipes: {{{', '.join(f'{n}: bracket' for n in range(1, 17))}}}\n", "at most 15"),
        ("recipe: stored:bracket\nexposure: {min_mean: 3}\n", "exposure: here and in the recipe"),
        ("recipe: stored:bracket\nengines: {gate: shipped:gate}\n", "engines: here and in the recipe"),
    ],
)
def test_a_line_file_that_cannot_mean_its_recipes_is_refused(
    store: RecipeStore, first: StoredRecipe, tmp_path: Path, text: str, said: str
) -> None:
    store.activate(first.id)
    with pytest.raises((ConfigError, RecipeError), match=said):
        load_line(line_file(tmp_path, text))


def test_recipes_without_the_handshake_are_refused(tmp_path: Path) -> None:
    path = line_file(tmp_path, SHIPPED + "recipes: {2: bracket}\n")
    path.write_text(path.read_text().replace("handshake: true", "handshake: false"))
    with pytest.raises(ConfigError, match=r"plc.handshake: true"):
        load_line(path)


def test_commands(store: RecipeStore, second: StoredRecipe, tmp_path: Path) -> None:
    path = line_file(tmp_path, SHIPPED)

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["recipe", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    assert "stored lid-" in run("make", str(path), "lid", "--why", "new product")[1]
    assert run("activate", "lid-", "--uncertified", "--why", "trial")[0] == 0
    listed = run("list")[1]
    assert "●" in listed
    assert second.id in listed
    shown = run("show", "lid")[1]
    assert "classifier_good" in shown
    code, text = run("diff", "lid", second.id)
    assert code == 1
    assert "engines.gate" in text
    assert "routing[0].classifier_good" in text
    assert run("diff", "lid", "lid") == (0, "no difference\n")


def test_what_was_active_before_stands_by_under_the_same_number(
    store: RecipeStore, first: StoredRecipe, second: StoredRecipe, tmp_path: Path
) -> None:
    store.activate(first.id)
    line = line_file(tmp_path, "recipe: stored:bracket\nrecipe_number: 1\nkeep_earlier: true\n")
    assert inspection(line).earlier is None  # nothing was active before
    store.activate(second.id, uncertified=True)
    own = inspection(line)
    assert own.earlier is not None
    assert (own.stored, own.earlier.stored, own.earlier.number) == (second.id, first.id, 1)
    store.rollback("bracket")
    assert inspection(line).earlier is None
