"""Installation below a folder: whole files, what is whose, what is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.config import example_path
from edge.errors import ConfigError, InstallError
from edge.service.install import MANIFEST, Manifest, install, plan, uninstall
from edge.service.unit_files import UnitFile, line_file, reachable, units

needs_systemctl = pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemctl is not installed")
EDGE = Path("/opt/edge/bin/edge")
UNIT = "etc/systemd/system/edge-camera@.service"


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def files(line: Path) -> list[UnitFile]:
    return [*units(EDGE), line_file(line)]


@pytest.fixture
def line(tmp_path: Path) -> Path:
    path = tmp_path / "line1.yaml"
    text = example_path("demo.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("name: demo ", "name: line1 "), encoding="utf-8")
    return path


@needs_systemctl
def test_what_was_put_goes_again_and_nothing_else(tmp_path: Path, line: Path) -> None:
    root = tmp_path / "root"
    stranger = root / "etc/systemd/system/other.service"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("[Service]\n", encoding="utf-8")
    before = tree(root)
    steps = plan(root, files(line))
    assert {step.action for step in steps} == {"add"} and tree(root) == before
    install(root, "line1", steps, lambda _: None)
    assert (root / "etc/systemd/system/multi-user.target.wants/edge@line1.target").is_symlink()
    assert "@BIN@" not in "".join(p.read_text(encoding="utf-8") for p in root.rglob("*.service"))
    assert {step.action for step in plan(root, files(line))} == {"keep"}
    assert uninstall(root, lambda _: None) == []
    assert tree(root) == before
    with pytest.raises(InstallError, match="nothing is installed"):
        uninstall(root, lambda _: None)


@needs_systemctl
def test_a_file_changed_by_hand_is_neither_overwritten_nor_removed(tmp_path: Path, line: Path) -> None:
    root = tmp_path / "root"
    install(root, "line1", plan(root, files(line)), lambda _: None)
    with (root / UNIT).open("a", encoding="utf-8") as unit:
        unit.write("Nice=5\n")
    newer = [UnitFile(file.path, file.content + "# newer\n") for file in files(line)]
    before = tree(root)
    with pytest.raises(InstallError, match=r"edge-camera@\.service.*drop-in"):
        install(root, "line1", plan(root, newer), lambda _: None)
    assert tree(root) == before  # nothing half-written
    assert uninstall(root, lambda _: None) == [UNIT]
    assert list(tree(root)) == [UNIT]


@needs_systemctl
def test_an_upgrade_replaces_what_is_ours_and_leaves_what_was_there_already(
    tmp_path: Path, line: Path
) -> None:
    root = tmp_path / "root"
    theirs = root / "etc/edge/line1.yaml"
    theirs.parent.mkdir(parents=True)
    shutil.copy(line, theirs)
    install(root, "line1", plan(root, files(line)), lambda _: None)
    newer = [UnitFile(file.path, file.content + "# newer\n") for file in units(EDGE)]
    steps = plan(root, newer)
    assert {step.action for step in steps} == {"replace"} and "+# newer" in steps[0].diff()
    install(root, "line1", steps, lambda _: None)
    assert (root / UNIT).read_text(encoding="utf-8").endswith("# newer\n")
    assert uninstall(root, lambda _: None) == []
    assert list(tree(root)) == ["etc/edge/line1.yaml"]


def test_a_file_that_cannot_be_put_takes_back_the_others(tmp_path: Path, line: Path) -> None:
    if shutil.which("systemctl") is None:
        pytest.skip("systemctl is not installed")
    root = tmp_path / "root"
    steps = plan(root, files(line))
    (root / "etc/edge").mkdir(parents=True)
    (root / "etc/edge/line1.yaml").mkdir()  # the last file of the plan cannot be put
    with pytest.raises(InstallError, match="nothing was installed"):
        install(root, "line1", steps, lambda _: None)
    assert tree(root) == {} and Manifest.load(root) == Manifest()


def test_what_services_could_not_see_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"ProtectHome.*/opt/edge"):
        reachable(Path("/home/somebody/edge"))
    moved = tmp_path / "elsewhere.yaml"
    text = example_path("demo.yaml").read_text(encoding="utf-8")
    moved.write_text(text.replace("gate: shipped:gate_detector", "gate: gate.yaml"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"engines: found a path relative to.*expected absolute"):
        line_file(moved)


def test_a_damaged_list_is_told(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).parent.mkdir(parents=True)
    (tmp_path / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(InstallError, match="cannot be read as the list"):
        plan(tmp_path, [])


def test_a_dry_run_shows_all_files_and_then_what_an_install_is_refused_for(
    tmp_path: Path, line: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "edge.cli",
        "install",
        str(line),
        "--dry-run",
        "--root",
        str(tmp_path / "root"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "add      /etc/edge/line1.yaml" in done.stdout
    assert "plc.kind: found 'twin', expected tcp or rtu" in done.stderr and not (tmp_path / "root").exists()


def test_the_command_refuses_a_bad_line_and_writes_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\ncamera: {kind: nothing}\n", encoding="utf-8")
    command = [sys.executable, "-m", "edge.cli", "install", str(bad), "--root", str(tmp_path / "root")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "bad.yaml:2" in done.stderr and not (tmp_path / "root").exists()
