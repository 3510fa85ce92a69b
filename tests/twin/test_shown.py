"""Which part a recorded frame shows: one that was given to its neighbour is found, and so is a part that escaped."""

import json

import cv2
import numpy as np

from edge._core import Verdict
from tools.twin import shown
from tools.twin.parts import FLAWLESS
from tools.twin.render import CameraModel, render
from tools.twin.render_pool import Plan

SPECS = Plan(40, 1, speed="1.2").specs()
DEFECTIVE = next(spec.index + 1 for spec in SPECS if spec.defective)
INDEX = {"version": 1, "line": {}, "engines": {}, "speed_m_per_s": 1.2, "counts": {}, "finished": True}


def record(folder, pictures, verdict):
    """A recording of these parts; ``pictures``: part id → which part its frame shows, stamped as by the device."""
    (folder / "frames").mkdir(parents=True)
    (folder / "recording.json").write_text(json.dumps(INDEX))
    lines = []
    for part_id, of in pictures.items():
        pixels = render(SPECS[of - 1], CameraModel()).pixels.copy()
        pixels.reshape(-1)[:8].view(np.int64)[0] = part_id
        file = f"frames/{part_id:08}.png"
        cv2.imwrite(str(folder / file), pixels)
        height, width = pixels.shape
        frame = {"state": "stored", "file": file, "frame_id": part_id, "width": width, "height": height}
        fields = {"part_id": part_id, "verdict": int(verdict.value), "reason": 0, "triggered_ns": part_id}
        fields |= {"gate_out_ns": 1, "gate_good": 0.9995, "limit_gate_good": 0.999}
        lines.append(json.dumps({"part": fields, "frame": frame}))
    (folder / "parts.jsonl").write_text("\n".join(lines))
    return str(folder)


def test_frames_of_their_own_parts_leave_an_escape_to_the_engines(tmp_path, capsys):
    good = next(spec.index + 1 for spec in SPECS if spec.class_id == FLAWLESS)
    own = record(tmp_path / "own", {DEFECTIVE: DEFECTIVE, good: good}, Verdict.PASS)
    assert shown.main([own]) == 0
    said = capsys.readouterr().out
    assert "2 frames compared, 0 that do not show their part" in said
    assert f"part {DEFECTIVE} escaped" in said and said.count("escaped") == 1


def test_a_frame_that_shows_another_part_is_found_and_named(tmp_path, capsys):
    pictures = {4: 4, 5: 6, 20: 40}
    assert shown.main([record(tmp_path / "swapped", pictures, Verdict.REJECT)]) == 1
    said = capsys.readouterr().out
    assert "2 that do not show their part" in said
    assert "the frame of part 5 shows part 6" in said
    assert "the frame of part 20 shows no part near it" in said
    assert "escaped" not in said


def test_what_is_no_recording_is_said(tmp_path, capsys):
    assert shown.main([str(tmp_path)]) == 2
    assert "not a recording" in capsys.readouterr().err
