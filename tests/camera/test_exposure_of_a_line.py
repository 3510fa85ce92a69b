"""Auto-exposure in a whole line over GigE Vision whose light fades to a half; the device stamps what it used."""

import json
import os
import re

import numpy as np
import pytest

from edge._core import CoreError, load_aravis
from edge.config import LineConfig, example_path, load_line
from edge.errors import TwinError
from edge.line import Line, RunOptions, run_folder
from edge.records.recorded import STORED, RecordedLine
from edge.twin import TwinRequest
from tools.twin.gige.program import STAMPED, build

pytestmark = pytest.mark.line
PARTS, LOWEST_US, HIGHEST_US = 100, 150, 400
CHANGE = re.compile(
    r"exposure ([\d.]+) → ([\d.]+) µs after part (\d+) .*?(; a part came meanwhile)?$", re.MULTILINE
)


@pytest.fixture(autouse=True)
def gige():
    try:
        load_aravis()
        build()
    except (CoreError, TwinError) as error:
        if os.environ.get("EDGE_PEERS") == "required":
            pytest.fail(str(error))
        pytest.skip(str(error))


def test_it_follows_the_light_and_no_part_has_two_exposures(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_RUN_DIR", str(tmp_path / "run"))
    wanted = load_line(example_path("gige.yaml")).model_dump()
    auto = {"mean": 85, "lowest_us": LOWEST_US, "highest_us": HIGHEST_US, "parts": 5}
    wanted["camera"] |= {"exposure_us": 200, "auto_exposure": auto}
    config = LineConfig.model_validate(wanted)
    fading = {"exposure_ev": {part: -part / PARTS for part in range(1, PARTS + 1)}}
    twin = TwinRequest(parts=PARTS, speed="2.4", gige=True, camera_faults=json.dumps(fading))
    with Line(config, RunOptions(twin=twin, record_to=tmp_path / "recording"), print) as line:
        line.run(lambda _running: None)
    log = (run_folder(config.name) / "camera.log").read_text(encoding="utf-8")
    changes = [(float(a), float(b), int(part), came) for a, b, part, came in CHANGE.findall(log)]
    assert len(changes) >= 5

    recorded = RecordedLine.load(tmp_path / "recording")
    means = {}
    for part in recorded.parts:
        if part.frame.state != STORED:
            continue
        pixels = recorded.pixels(part).reshape(-1)
        used_us = int(pixels[:STAMPED].view(np.int64)[2])
        possible = {200.0}
        for before_us, after_us, after_part, came in changes:
            if after_part < part.part_id:
                unsure = bool(came) and part.part_id == after_part + 1
                possible = {before_us, after_us} if unsure else {after_us}
        assert any(abs(used_us - told_us) <= 1 for told_us in possible), part.part_id
        assert LOWEST_US <= used_us <= HIGHEST_US
        means[part.part_id] = float(pixels[STAMPED:].mean())
    first = np.mean([mean for part, mean in means.items() if part <= 10])
    last = np.mean([mean for part, mean in means.items() if part > PARTS - 10])
    assert last / first > 0.7  # with one exposure: 0.54
