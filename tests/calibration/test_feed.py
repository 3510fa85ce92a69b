"""Beside a line: which parts are asked about, what becomes of their frames, and that drift is told."""

import json
from pathlib import Path

import numpy as np
import pytest

import engines
from calibration.__main__ import main
from calibration.bank import Bank, bank_of, look_at
from calibration.errors import CalibrationError
from calibration.feed import DRIFT, Eye, Feed
from calibration.pictures import Picture, read_manifest
from calibration.queue import Queue
from calibration.taps import Extractor, open_backbone
from edge import _core
from edge._core import FrameStatus, PixelFormat, Reason, Route, Verdict
from edge.inspection.settings import InspectionConfig
from edge.shadow.follow import Followed
from engines.manifest import load_manifest

SIDE = 32
MODELS = Path(engines.__file__).parent / "models"


def picture(seed: int, light: float) -> np.ndarray:
    grey = np.random.default_rng(seed).normal(light, 20, (SIDE, SIDE))
    return np.clip(grey, 0, 255).astype(np.uint8)


class Line:
    """Region, ring and configuration, as a line leaves them."""

    def __init__(self, folder: Path) -> None:
        self.region = _core.Region.create(
            str(folder / "region"), frame_slots=16, slot_bytes=(8 + SIDE) * SIDE
        )
        ring = _core.RecordRing.create(str(folder / "ring"), capacity=256)
        told = InspectionConfig.model_construct(
            number=3, gate=MODELS / "gate_detector.yaml", classifier=MODELS / "classifier.yaml", recipes=()
        )
        self.followed = Followed(self.region, ring, told, ("no_part", "flawless"))

    def part(self, part: int, good: float, light: float | None = None, **more: int) -> np.void:
        """Its record; ``light``: with a frame in the ring."""
        record = np.zeros(1, _core.PART_RECORD_DTYPE)
        fields = {
            "part_id": part,
            "frame_id": part,
            "recipe": 3,
            "verdict": Verdict.PASS,
            "route": Route.CLASSIFIER,
        }
        for name, value in (fields | {"reason": Reason.NONE} | more).items():
            record[name] = value
        for name in ("gate_good", "classifier_good"):
            record[name] = good
        for name in ("gate_defect", "classifier_defect"):
            record[name] = 1 - good
        if light is not None:
            slot = self.region.claim_slot()
            assert slot is not None
            slot.pixels[: SIDE * SIDE] = picture(part, light).reshape(-1)
            slot.publish(
                frame_id=part,
                trigger_id=part,
                encoder_count=0,
                exposure_end_ns=0,
                width=SIDE,
                height=SIDE,
                stride=SIDE,
                pixel_format=PixelFormat.MONO8,
                status=FrameStatus.OK,
            )
            self.region.discard_frames()
        return record[0]


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def test_uncertain_parts_wait_with_their_picture_while_their_frame_is_there(
    line: Line, tmp_path: Path
) -> None:
    queue = Queue(tmp_path / "queue", most=2)
    sure = line.part(
        9, 0.99, 100, verdict=Verdict.REJECT, reason=Reason.UNCERTAIN
    )  # not by the line's thresholds
    feed = Feed(line.followed, tmp_path, None, queue)
    late = line.part(4, 0.5, 100, reason=Reason.OVERRUN)  # not what the engines said
    feed.take([line.part(1, 0.99, 100), line.part(2, 0.6, 100), line.part(3, 0.55), late])
    assert [asked.part.split("@")[0] for asked in queue.waiting()] == ["2"]
    assert (feed.seen.parts, feed.seen.queued, feed.seen.missed) == (3, 1, 1)
    feed.take([sure])
    assert [asked.why for asked in queue.waiting()] == ["uncertain"] * 2
    feed.take([line.part(5, 0.52, 100), line.part(6, 0.51, 100)])  # the queue is full: the surest leaves
    assert [asked.part.split("@")[0] for asked in queue.waiting()] == ["6", "5"]
    first, second = queue.waiting()
    assert {path.name for path in queue.folder.glob("*.png")} == {first.picture, second.picture}
    assert (
        main(["relabel", str(tmp_path / "old.csv"), f"queue/{first.picture}", "scratch", "--by", "ann"]) == 0
    )
    assert queue.waiting() == [second]
    (taught,) = read_manifest(tmp_path / "old.csv")
    assert (taught.label, taught.origin, taught.path.is_file()) == ("scratch", "operator ann", True)


def test_a_line_that_got_darker_is_told_and_its_parts_are_novel(line: Line, tmp_path: Path) -> None:
    backbone = open_backbone(load_manifest(MODELS / "classifier.yaml"))
    eye = Extractor(backbone)
    looks = [look_at(eye, picture(seed, 120), PixelFormat.MONO8) for seed in range(100, 125)]
    classes = backbone.manifest.classes
    then = bank_of(backbone, [Picture(Path("x"), classes[0])] * len(looks), looks, classes)
    feed = Feed(line.followed, tmp_path, Eye(line.followed, then, window=20), Queue(tmp_path / "queue"))
    for light, drifted in ((120, 0), (60, 1)):
        for part in range(1, 21):
            feed.take([line.part(part, 0.99, light)])
        feed.take([line.part(part, 0.99, light, recipe=4)])  # another product
        assert (feed.seen.windows, feed.seen.drifted) == (drifted + 1, drifted)
    said = json.loads((tmp_path / DRIFT).read_text())
    assert said["moved"][0]["signal"] == "brightness"
    assert said["seen"]["looked_at"] == 40
    assert {asked.why for asked in Queue(tmp_path / "queue").waiting()} == {"novel"}
    other = Bank(**{**vars(then), "backbone": "0" * 64})
    with pytest.raises(CalibrationError, match="the line runs"):
        Eye(line.followed, other, window=20)
