"""A detector of one's own as the gate: manifest → decoder → scores, box in the part's record, faults."""

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from edge import _core
from edge.errors import EngineError
from edge.inspection.engines import load_pair, slot_of
from tests.core.test_loop import acknowledge

SIDE, CELLS = 32, 16 + 4 + 1
PART_AT, CRACK_AT = 5, 10


def yolox_rows() -> np.ndarray:
    """A part of 24×24 around (16, 16) and a crack of 4×8 in its right lower quarter."""
    raw = np.zeros((1, CELLS, 5 + 3), np.float32)
    raw[0, PART_AT] = [1, 1, np.log(3), np.log(3), 1, 0.95, 0, 0]  # cell (1, 1) of stride 8
    raw[0, CRACK_AT] = [0.75, 0.75, np.log(0.5), np.log(1), 0.9, 0, 0.9, 0]  # cell (2, 2): centre (22, 22)
    return raw


def model(folder: Path, raw: np.ndarray, **changes: Any) -> Path:
    """Its output is ``raw`` times the mean of the picture: what is NaN there is NaN here."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["raw", "mean"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, list(raw.shape))],
        [numpy_helper.from_array(raw, "raw")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "d.onnx"
    )
    data = {
        "schema": 1,
        "name": "d",
        "role": "gate",
        "file": "d.onnx",
        "sha256": hashlib.sha256((folder / "d.onnx").read_bytes()).hexdigest(),
        "classes": ["no_part", "flawless", "crack"],
        "good_class": "flawless",
        "empty_class": "no_part",
        "input": {
            "width": SIDE,
            "height": SIDE,
            "channels": 3,
            "mean": [0, 0, 0],
            "std": [0.25, 0.25, 0.25],
            "resize": "area",
        },
        "precision": {"scheme": "u8s8", "head": "float32"},
        "trained": {"command": "make-it", "parts": 1, "seed": 1, "date": "2026-01-01"},
        "measured": {
            **{"accuracy_fp32": 1.0, "accuracy_int8": 1.0, "escape_rate_at_argmax": 0.0},
            **{"latency_ms_fp32": 1.0, "latency_ms_int8": 1.0, "parts": 1, "seed": 1},
        },
        "decoder": {
            "kind": "yolox",
            "strides": [8, 16, 32],
            "part_class": "part",
            "box_classes": [
                {"name": "part"},
                {"name": "scratch", "means": "crack"},
                {"name": "person", "ignored": True},
            ],
        }
        | changes,
    }
    path = folder / "d.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def test_a_detector_gives_scores_of_the_classes(tmp_path: Path) -> None:
    engine, _ = load_pair(model(tmp_path, yolox_rows()), None, 1)
    engine.input[:] = 1
    engine.run()
    np.testing.assert_allclose(engine.scores, [[0.05 * 0.19, 0.95 * 0.19, 0.81]], atol=1e-5)
    boxes = engine.decoder
    assert isinstance(boxes, _core.BoxScores)
    assert boxes.part == pytest.approx((4, 4, 28, 28, 0.95, 0), abs=1e-4)
    assert boxes.defect == pytest.approx((20, 18, 24, 26, 0.81, 2), abs=1e-4)


def test_what_the_model_cannot_say_is_no_score(tmp_path: Path) -> None:
    engine, _ = load_pair(model(tmp_path, yolox_rows()), None, 1)
    for value in (np.nan, 4.0):  # scores of 4 are none either
        engine.input[:] = value
        engine.run()
        assert np.isnan(engine.scores).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": [8, 16]}, r"output: found .*21, 8.*expects .*\(1, 20, 8\)"),
        (
            {"box_classes": [{"name": "part"}, {"name": "scratch"}]},
            "'scratch' count as 'scratch': expected one of",
        ),
        ({"part_class": "plate"}, "part_class is 'plate'"),
        ({"box_classes": [{"name": "crack"}, {"name": "crack"}], "part_class": None}, "every name once"),
    ],
)
def test_decoders_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        load_pair(model(tmp_path, yolox_rows(), **changes), None, 1)


def test_the_place_of_the_defect_is_in_the_record(tmp_path: Path) -> None:
    engine, _ = load_pair(model(tmp_path, yolox_rows()), None, 1)
    region = _core.Region.create(str(tmp_path / "region"), frame_slots=4, slot_bytes=64 * 64)
    records = _core.RecordRing.create(str(tmp_path / "ring"), capacity=16)
    settings = _core.LoopSettings()
    settings.routing = [
        _core.RoutingRow(
            speed_um_per_s=2_000_000, gate_good=0.9, gate_defect=0.7, gate_empty=0.9, classifier_good=0.7
        )
    ]
    settings.mm_per_pixel = 0.5
    settings.warmup_runs, settings.keep_warm_ns = 2, 0
    settings.budget_cap_ns, settings.window_um = 2_000_000_000, 10_000_000
    verdicts, reader = region.verdict_reader(), records.reader()
    loop = _core.InspectionLoop(region, records, settings, slot_of(engine, None), None)
    loop.start()
    end = time.monotonic() + 10
    while region.status.loop_state != _core.LoopState.READY and time.monotonic() < end:
        time.sleep(0.002)
    region.push_trigger(1, 10, _core.now_ns())
    slot = region.claim_slot()
    assert slot is not None
    slot.pixels[:] = 62  # 0.243 / 0.25: the picture's mean is 0.97
    slot.publish(
        frame_id=1,
        trigger_id=1,
        encoder_count=10,
        exposure_end_ns=_core.now_ns(),
        width=64,
        height=64,
        stride=64,
        pixel_format=_core.PixelFormat.MONO8,
        status=_core.FrameStatus.OK,
    )
    while region.status.parts_decided < 1 and time.monotonic() < end:
        time.sleep(0.002)
    loop.stop()
    verdict = verdicts.read()
    assert verdict is not None
    assert (verdict.verdict, verdict.reason) == (_core.Verdict.REJECT, _core.Reason.DEFECT)
    acknowledge(records, verdict)
    record = reader.read()[0]
    assert record["defect_x"] == pytest.approx((22 - 4) / 24, abs=0.02)
    assert record["defect_y"] == pytest.approx((22 - 4) / 24, abs=0.02)
    assert record["defect_size_mm"] == pytest.approx(8 * 2 * 0.5, rel=0.05)
