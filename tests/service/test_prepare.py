"""What services attach to: made from a good line file, refused for a bad one, told when it changes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.config import example_path
from edge.errors import EdgeError
from edge.service.prepare import prepare
from edge.service.run_role import run_role
from edge.service.state import look


def line_file(folder: Path, **changes: Any) -> Path:
    data = yaml.safe_load(example_path("demo.yaml").read_text(encoding="utf-8"))
    data.update(name="line1")
    data["camera"]["socket"] = str(folder / "camera.sock")
    data["plc"].update(kind="tcp", host="127.0.0.1", port=5020)
    for place, value in changes.items():
        section, _, key = place.rpartition("__")
        (data[section] if section else data)[key] = value
    path = folder / "line1.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "line2"}, r"name: found 'line2', expected 'line1'"),
        ({"plc__kind": "twin"}, r"plc.kind: found 'twin', expected tcp or rtu"),
        ({"camera__socket": None}, r"camera.kind: found 'twin' without a socket"),
        ({"plc__port": "no"}, r"line1\.yaml:\d+: plc\.port: found 'no'"),
        ({"engines__gate": "shipped:nothing"}, r"'shipped:nothing' is not shipped; known"),
    ],
)
def test_a_bad_line_is_refused_and_nothing_is_written(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(EdgeError, match=words):
        prepare(line_file(tmp_path, **changes), tmp_path / "line1")
    assert not (tmp_path / "line1").exists()


def test_a_changed_file_is_told_and_a_running_process_keeps_the_line_from_being_made_anew(
    tmp_path: Path,
) -> None:
    path, folder = line_file(tmp_path), tmp_path / "line1"
    prepare(path, folder)
    assert look(folder).config == "as started" and not look(folder).healthy
    with path.open("a", encoding="utf-8") as file:
        file.write("# another\n")
    assert "counts after a restart" in look(folder).config
    command = [sys.executable, "-m", "edge.service.run_role", "camera", str(folder)]
    camera = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert (
            camera.stderr is not None and "camera" in camera.stderr.readline()
        )  # it tries to reach its twin
        with pytest.raises(EdgeError, match=r"is running already \(camera\).*systemctl stop edge@line1"):
            prepare(path, folder)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (
            second.returncode == 2
            and "the camera process of line 'line1' is running already" in second.stderr
        )
    finally:
        camera.kill()
        camera.communicate()
    prepare(path, folder)  # the lock went with the process
    assert look(folder).config == "as started"


def test_a_role_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="no line was prepared there"):
        run_role("actuation", tmp_path / "line1")
    (tmp_path / "line.json").write_text(json.dumps({"commands": {"camera": []}}), encoding="utf-8")
    with pytest.raises(EdgeError, match="role: found 'engine', expected one of: camera"):
        run_role("engine", tmp_path)
