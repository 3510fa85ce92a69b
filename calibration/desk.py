"""What the steps of a lesson share: the wish, its work folder, the engines, pictures and their features."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from calibration import augment as copies
from calibration.bank import Bank, joined, make_bank
from calibration.engines import engine_named
from calibration.errors import CalibrationError
from calibration.fits import Lesson
from calibration.pictures import Picture, as_bgr
from calibration.taps import Backbone, backbone_sha256, open_backbone
from calibration.wish import Wish
from calibration.work import WorkFolder, chained, mtime, stamp
from edge._core import PixelFormat
from engines.manifest import load_manifest

Say = Callable[[str, float], None]


@dataclass
class Desk:
    """One wish and one work folder; features of pictures are made once and kept."""

    wish: Wish
    work: WorkFolder
    say: Say = lambda phase, share: None

    @cached_property
    def backbones(self) -> list[Backbone]:
        """Of the engines that are taught."""
        return [open_backbone(load_manifest(engine_named(name))) for name in self.wish.engines]

    def identity(self) -> list[object]:
        """All that the results depend on."""
        w = self.wish
        return [
            w.name, w.pixel_format, w.seed, w.exam_share, w.margin_points, w.max_added_ms, w.escape_rate, w.confidence,
            stamp(w.images), stamp(w.data),
            *[backbone_sha256(b.manifest.model_path) for b in self.backbones],
        ]  # fmt: skip

    def check_name(self) -> None:
        """Raises CalibrationError: no name, or one that the engines know; engines of different classes."""
        name, first = self.wish.name, self.backbones[0].manifest
        if not name.replace("_", "").replace("-", "").isalnum():
            raise CalibrationError(f"'{name}': expected a class name of letters, digits, - and _")
        for backbone in self.backbones:
            m = backbone.manifest
            if name in m.classes:
                raise CalibrationError(
                    f"{m.name}: knows '{name}' already (classes {list(m.classes)}); give another name, or add the "
                    "pictures to its data set and train it again"
                )
            if m.classes != first.classes:
                raise CalibrationError(
                    f"{m.name}: classes {list(m.classes)}, but {first.name} has {list(first.classes)}"
                )

    def write_pictures(self, name: str, new: Sequence[Picture], old: Sequence[Picture]) -> None:
        """New and old pictures as one file of the work folder."""
        rows = {"new": [_as_row(p) for p in new], "old": [_as_row(p) for p in old]}
        self.work.write(name, json.dumps(rows))

    def read_pictures(self, name: str) -> tuple[list[Picture], list[Picture]]:
        """(new, old) as they were written."""
        rows = json.loads((self.work.root / name).read_text(encoding="utf-8"))
        new, old = (
            [Picture(**{**row, "path": Path(row["path"])}) for row in rows[k]] for k in ("new", "old")
        )
        return new, old

    def bank(self, backbone: Backbone, pictures: Sequence[Picture], what: str, copy: int = -1) -> Bank:
        """Features of pictures; ``copy`` ≥ 0: of their altered copies. Raises CalibrationError: no room."""
        classes = (*backbone.manifest.classes, self.wish.name)
        key = chained(
            backbone_sha256(backbone.manifest.model_path), copy, self.wish.seed if copy >= 0 else 0, *classes,
            *[(p.path, p.label, p.split, p.group, mtime(p.path)) for p in pictures],
        )  # fmt: skip
        folder = (self.wish.cache if self.wish.cache and what == "old" else None) or self.work.root / "banks"
        path = folder / f"{what}-{key[:24]}.npz"
        if path.is_file():
            return Bank.load(path, backbone_sha256(backbone.manifest.model_path))
        folder.mkdir(parents=True, exist_ok=True)
        if copy < 0:
            bank = make_bank(backbone, pictures, classes, self.say)
        else:
            bank = make_bank(backbone, pictures, classes, self.say, alter=self._altering(pictures, copy))
        try:
            bank.save(path)
        except OSError as error:
            raise CalibrationError(
                f"{path}: {error.strerror}; make room and run the same command again"
            ) from error
        return bank

    def _altering(self, pictures: Sequence[Picture], copy: int) -> Callable[..., Any]:
        def alter(pixels: Any, pixel_format: PixelFormat, index: int) -> Any:
            return copies.altered(as_bgr(pixels, pixel_format), copy, self.wish.seed * 1009 + index)

        return alter

    def lesson(self, backbone: Backbone) -> tuple[Lesson, Bank]:
        """What a head is taught with, and the same as rows with their pictures."""
        new, old = self.read_pictures("split.json")
        learn = [p for p in new if p.split == "train"]
        old_bank = self.bank(backbone, old, "old")
        banks = [old_bank.pick(~old_bank.exam), self.bank(backbone, learn, "new")]
        origin = [np.full(len(bank), -1) for bank in banks]
        first = len(banks[0])
        for copy in range(copies.enough_copies(len(learn))):
            banks.append(self.bank(backbone, learn, "copy", copy))
            origin.append(first + np.arange(len(learn)))
        made = json.loads((self.work.root / "augment.json").read_text(encoding="utf-8"))
        if made:
            laid = [Picture(Path(path), self.wish.name, "train") for path in made]
            banks.append(self.bank(backbone, laid, "laid"))
            origin.append(np.array([first + int(Path(path).name[:3]) for path in made]))
        rows = joined(banks)
        lesson = Lesson(
            rows.taps,
            rows.logits,
            rows.labels,
            rows.groups,
            np.concatenate(origin).astype(np.int64),
            len(backbone.manifest.classes) + 1,
        )
        return lesson, rows

    def exam(self, backbone: Backbone) -> Bank:
        """Rows that teach nothing: of the old classes, and of the new one where some were kept back."""
        new, old = self.read_pictures("split.json")
        kept = [p for p in new if p.split == "exam"]
        old_bank = self.bank(backbone, old, "old")
        banks = [old_bank.pick(old_bank.exam)]
        if kept:
            banks.append(self.bank(backbone, kept, "exam"))
        return joined(banks)


def _as_row(picture: Picture) -> dict[str, str]:
    return {**asdict(picture), "path": str(picture.path)}
