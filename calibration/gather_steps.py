"""The first steps of a lesson: pictures found, checked, proposed boxes for, split by part, and added to."""

import json
from dataclasses import asdict, replace
from typing import Any

import cv2

from calibration import augment as copies
from calibration.assist import Assistant
from calibration.check import check as findings_of
from calibration.check import refuse_bad, same_parts
from calibration.desk import Desk
from calibration.errors import CalibrationError
from calibration.pictures import as_bgr, read_folder, read_frame, read_manifest, split_by_group


def collect(desk: Desk) -> dict[str, Any]:
    """New and old pictures, written down."""
    found = read_folder(desk.wish.images, desk.wish.name)
    old = [p for p in read_manifest(desk.wish.data) if p.label != desk.wish.name]
    known = set(desk.backbones[0].manifest.classes)
    strange = sorted({p.label for p in old} - known)
    old = [p for p in old if p.label in known]
    if not old:
        raise CalibrationError(
            f"{desk.wish.data}: no picture of {sorted(known)} (found {strange}); the old classes must be replayed, "
            "else they would be forgotten: give their data set with --data"
        )
    if not any(p.split not in ("", "train") for p in old):
        old = split_by_group(old, 0.3, desk.wish.seed)
    formats = {p.pixel_format for p in old}  # of one camera: the new pictures come from it too
    raw = desk.wish.pixel_format or (formats.pop() if len(formats) == 1 else "")
    new = [replace(p, pixel_format=p.pixel_format or raw) for p in found]
    desk.write_pictures("collect.json", new, old)
    return {"new": len(new), "old": len(old), "ignored_classes": strange}


def check(desk: Desk) -> dict[str, Any]:
    """Findings; the pictures that stay."""
    new, old = desk.read_pictures("collect.json")
    readable, broken = [], []
    for picture in new:
        try:
            read_frame(picture)
            readable.append(picture)
        except CalibrationError as error:
            broken.append({"kind": "unreadable", "path": str(picture.path), "text": str(error), "drop": True})
    if not readable:
        raise CalibrationError(f"{desk.wish.images}: no picture can be read: {broken[0]['text']}")
    first = desk.backbones[0]
    bank = desk.bank(first, readable, "new")
    found = findings_of(bank, desk.bank(first, old, "old"), first.manifest, desk.wish.name)
    desk.work.write("check.json", json.dumps([*broken, *[asdict(f) for f in found]], indent=1))
    refuse_bad(found)
    dropped = {f.path for f in found if f.drop}
    groups = same_parts(bank)
    kept = [
        replace(p, group=group)
        for p, group in zip(readable, groups, strict=True)
        if str(p.path) not in dropped
    ]
    desk.write_pictures("checked.json", kept, old)
    kinds = [f.kind for f in found] + ["unreadable"] * len(broken)
    return {"kept": len(kept), "findings": {kind: kinds.count(kind) for kind in sorted(set(kinds))}}


def assist(desk: Desk) -> dict[str, Any]:
    """Proposed boxes, and a sheet that shows them."""
    new, old = desk.read_pictures("checked.json")
    good = [p for p in old if p.label == desk.backbones[0].manifest.good_class and p.split == "train"]
    known = (good or [p for p in old if p.split == "train"])[:60]
    assistant = Assistant(desk.backbones[0], known)
    boxes = {}
    for index, picture in enumerate(new):
        boxes[str(picture.path)] = asdict(assistant.propose(picture))
        desk.say("assist", (index + 1) / len(new))
    desk.work.write("assist.json", json.dumps(boxes, indent=1))
    return {"proposals": len(boxes)}


def split(desk: Desk) -> dict[str, Any]:
    """Parts of the new class that are kept back for the exam."""
    new, old = desk.read_pictures("checked.json")
    new = [replace(p, split="") for p in new]
    new = split_by_group(new, desk.wish.exam_share, desk.wish.seed)
    desk.write_pictures("split.json", new, old)
    exam = sum(p.split == "exam" for p in new)
    return {"train": len(new) - exam, "exam": exam}


def augment(desk: Desk) -> dict[str, Any]:
    """Defects laid onto good parts, where there are too few; other copies are made when they are looked at."""
    new, old = desk.read_pictures("split.json")
    few = [p for p in new if p.split == "train"]
    made: list[str] = []
    good = [p for p in old if p.label == desk.backbones[0].manifest.good_class and p.split == "train"]
    if len(few) < copies.FEW and good:
        boxes = json.loads((desk.work.root / "assist.json").read_text(encoding="utf-8"))
        for index, picture in enumerate(few):
            for copy in range(6):
                ground = good[(index * 6 + copy) % len(good)]
                laid = copies.lay_onto(
                    as_bgr(*read_frame(picture)),
                    tuple(boxes[str(picture.path)]["box"]),
                    as_bgr(*read_frame(ground)),
                    desk.wish.seed * 1000 + index * 10 + copy,
                )
                if laid is not None:
                    ok, content = cv2.imencode(".png", laid)
                    name = f"laid/{index:03d}-{copy}.png"
                    made.append(str(desk.work.write(name, content.tobytes())) if ok else "")
    desk.work.write("augment.json", json.dumps(made))
    return {"laid": len(made), "copies": copies.enough_copies(len(few))}
