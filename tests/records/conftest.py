"""A line without PLC: region, ring file and the real loop, judging brightness in place of an engine."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge._core import (
    ClassRoles,
    EngineSlot,
    InspectionLoop,
    LoopSettings,
    LoopState,
    PixelFormat,
    PlcResult,
    Preprocess,
    Reason,
    RecordRing,
    Region,
    RoutingRow,
    Verdict,
    now_ns,
)

PATIENCE_S = 20.0
GOOD, DEFECT, EMPTY = 0, 1, 2


class JudgedLine:
    """Parts brighter than half are good."""

    def __init__(self, folder: Path, frame_slots: int = 64) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.region = Region.create(str(folder / "region"), frame_slots=frame_slots, slot_bytes=65536)
        self.status = self.region.status
        self.records = RecordRing.create(str(folder / "ring"), capacity=1024)
        self.reader = self.records.reader()
        self.verdicts = self.region.verdict_reader()
        self.loop = self._make_loop()
        self.loop.start()
        self.until(lambda: self.status.loop_state == LoopState.READY, "the loop")

    def _make_loop(self) -> InspectionLoop:
        blob, out = np.zeros((1, 1, 4, 4), np.float32), np.zeros((1, 3), np.float32)

        def judge() -> None:
            bright = float(blob.mean())
            out[0] = (bright, 1 - bright, 0)

        preprocess = Preprocess(out_width=4, out_height=4, channels=1)
        settings = LoopSettings()
        settings.ignore_deadlines = True
        settings.frame_timeout_ns = 60_000_000
        settings.classes = ClassRoles(good=GOOD, empty=EMPTY)
        settings.min_mean, settings.max_mean = 0.0, 255.0
        settings.max_dark_share = settings.max_bright_share = 1.0
        row = RoutingRow(
            speed_um_per_s=10**8, gate_good=0.5, gate_defect=0.5, gate_empty=0.9, classifier_good=0.5
        )
        settings.routing = [row]
        return InspectionLoop(
            self.region,
            self.records,
            settings,
            EngineSlot(preprocess=preprocess, input=blob, output=out, run=judge),
            None,
        )

    def until(self, done: Callable[[], Any], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s for {what}"
            time.sleep(0.002)

    def show(self, part_id: int, grey: int | None, **header: Any) -> None:
        """Trigger and frame of one part, 20 × 10 grey pixels; None: no frame."""
        self.region.push_trigger(part_id, 10 * part_id, now_ns())
        if grey is not None:
            slot = self.region.claim_slot()
            assert slot is not None
            slot.pixels[:200] = np.arange(200) % 8 + grey
            values = {"width": 20, "height": 10, "stride": 20, "pixel_format": PixelFormat.MONO8, **header}
            slot.publish(
                frame_id=part_id,
                trigger_id=part_id,
                encoder_count=10 * part_id,
                exposure_end_ns=now_ns(),
                **values,
            )
        self.until(
            lambda: self.acknowledge() or self.acknowledged >= part_id, f"the verdict of part {part_id}"
        )

    acknowledged = 0

    def acknowledge(self, reason: Reason | None = None) -> None:
        """What actuation does."""
        while (entry := self.verdicts.read()) is not None:
            self.records.acknowledge(
                entry.record_index,
                verdict=Verdict.REJECT if reason else entry.verdict,
                reason=entry.reason if reason is None else reason,
                result=PlcResult.ACKED,
                queued_ns=now_ns(),
                sent_ns=now_ns(),
                ack_ns=now_ns(),
            )
            self.acknowledged = entry.part_id

    def finished(self) -> np.ndarray:
        """Records that have become complete."""
        return self.reader.read()

    def replay(self, recording: Path, **camera: Any) -> np.ndarray:
        """Runs the camera kind 'recording' on this line; returns the records."""
        config = {
            "camera": {"kind": "recording", "path": str(recording), "wait_for_ready": False, **camera},
            "speed_m_per_s": 1.0,
            "counts_per_mm": 1.0,
        }
        path = self.folder / "camera.json"
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "edge.camera.host", "--region", str(self.folder / "region")]
        process = subprocess.Popen([*command, "--config", str(path)])
        try:
            self.until(lambda: self.acknowledge() or self._drained(), "the end of the replay")
        finally:
            self.status.stop = 1
            process.wait(PATIENCE_S)
        return self.finished()

    def _drained(self) -> bool:
        return bool(self.status.end_of_stream) and self.status.parts_decided >= self.status.triggers_pushed

    def end(self) -> None:
        self.loop.stop()


@pytest.fixture
def make_line(tmp_path: Path) -> Iterator[Callable[[str], JudgedLine]]:
    made: list[JudgedLine] = []

    def make(name: str, **values: Any) -> JudgedLine:
        made.append(JudgedLine(tmp_path / name, **values))
        return made[-1]

    yield make
    for line in made:
        line.end()
