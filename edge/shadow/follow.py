"""A running line, followed from outside: records and frames are read, nothing is written, nobody waits.

The frame of a part is copied out of the ring with its sequence looked at before and after; a slot that was used again
meanwhile gives nothing. What the shadow has no time for is skipped: it takes the newest part, never a backlog.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from edge import _core
from edge._core import FrameStatus, FrameView, Reason, Route, Verdict
from edge.errors import RegionError
from edge.inspection.settings import InspectionConfig
from edge.roles import RING
from edge.service.state import find_folder
from edge.shadow.agreement import Agreement
from edge.shadow.candidate import Candidate, Opinion
from edge.shadow.kept import Kept
from engines.manifest import load_manifest

_BATCH = 1024
_LOOK_S = 0.005
JUDGED = {Reason.NONE, Reason.DEFECT, Reason.UNCERTAIN}
"""Any other reason is not what the engines said."""


@dataclass(frozen=True)
class Followed:
    """A line that runs."""

    region: _core.Region
    ring: _core.RecordRing
    config: InspectionConfig
    classes: tuple[str, ...]

    @classmethod
    def attach(cls, line: str) -> "Followed":
        """By name or folder. Raises RegionError: it does not run, or was started by another version."""
        folder = find_folder(line)
        try:
            told = InspectionConfig.model_validate_json((folder / "inspection.json").read_text("utf-8"))
            region = _core.Region.attach(str(folder / "region"))
            ring = _core.RecordRing.attach(str(_ring_of(folder)))
        except (OSError, ValidationError, _core.CoreError) as error:
            raise RegionError(
                f"{folder}: the line cannot be followed ({error}); expected one that has started: try again"
            ) from error
        return cls(region, ring, told, load_manifest(told.gate).classes)

    @property
    def over(self) -> bool:
        """It was told to end."""
        return bool(self.region.status.stop)


def _ring_of(folder: Path) -> Path:
    if (folder / RING).is_file():
        return folder / RING
    raise RegionError(
        f"{folder}: no ring of records in it; expected {RING}: a line with records.ring_path cannot be followed yet"
    )


@dataclass
class Seen:
    """What became of the parts since the shadow began."""

    skipped: int = 0
    """No time for them."""
    not_judged: int = 0
    """By the line's engines: late, lost, badly lit …"""
    overwritten: int = 0
    """Their frame had left the ring."""
    overruns: int = 0
    """Of the line meanwhile, skipped parts too."""
    brightness: list[float] = field(default_factory=list)
    """Mean grey level of the compared parts."""


def keep_off(cpu: int | None) -> None:
    """Never on the loop's processor, where there is another one."""
    others = os.sched_getaffinity(0) - {cpu}
    if others:
        os.sched_setaffinity(0, others)


def follow(
    line: Followed,
    candidate: Candidate,
    kept: Kept,
    *,
    share: float,
    over: Callable[[Agreement, Seen], bool],
) -> tuple[Agreement, Seen]:
    """Until the line ends or ``over`` says so (asked after every look); ``share`` of one processor at most.

    Raises RecordError: disagreements cannot be kept.
    """
    agreement, seen = Agreement(), Seen()
    compare = partial(_compare, line, candidate, kept=kept, agreement=agreement, seen=seen)
    reader = line.ring.reader_at(line.ring.head)
    while not line.over and not over(agreement, seen):
        newest = _newest(reader, seen)
        if newest is None:
            time.sleep(_LOOK_S)
            continue
        begun = time.thread_time()
        compare(newest)
        time.sleep((time.thread_time() - begun) * (1 / share - 1))
    return agreement, seen


def _newest(reader: _core.RecordReader, seen: Seen) -> Any:
    """The last finished record, those before it are skipped."""
    newest = None
    while len(batch := reader.read(_BATCH)):
        seen.skipped += len(batch) - (newest is None)
        seen.overruns += int((batch["final_reason"] == Reason.OVERRUN).sum())
        newest = batch[-1]
    return newest


def _compare(
    line: Followed, candidate: Candidate, record: np.void, *, kept: Kept, agreement: Agreement, seen: Seen
) -> None:
    if record["verdict"] == Verdict.NONE or Reason(int(record["reason"])) not in JUDGED:
        seen.not_judged += 1
        return
    frame = line.region.copy_frame(int(record["part_id"]))
    if frame is None or not _same_frame(frame, record):
        seen.overwritten += 1
        return
    said = said_by_line(record, line.classes)
    thought = candidate.judge(frame, int(record["speed_um_per_s"]))
    kind = agreement.add(said, thought)
    seen.brightness.append(float(record["brightness_mean"]))
    kept.add(kind, int(record["part_id"]), said.label, thought.label, frame)


def _same_frame(frame: FrameView, record: np.void) -> bool:
    return frame.status is FrameStatus.OK and frame.frame_id == record["frame_id"]


def said_by_line(record: np.void, classes: tuple[str, ...]) -> Opinion:
    """What its engines said, whether or not that came in time."""
    class_id = int(record["class_id"])
    label = classes[class_id] if class_id < len(classes) else ""
    escalated = record["route"] == Route.CLASSIFIER or record["reason"] == Reason.UNCERTAIN
    return Opinion(Verdict(int(record["verdict"])), label, bool(escalated))
