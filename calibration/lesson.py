"""One new defect type, from pictures to an active engine: the steps, each a call that can be run alone and again."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from calibration import augment as copies
from calibration import prove as exams
from calibration.assist import Assistant
from calibration.bank import Bank, joined, make_bank
from calibration.candidate import LessonFacts, golden_bytes, golden_set, manifest_of
from calibration.certified_recipe import recipe_yaml
from calibration.certify import PairExam, PairRoles, certify
from calibration.check import check, refuse_bad, same_parts
from calibration.engines import engine_named
from calibration.errors import CalibrationError
from calibration.pictures import Picture, as_bgr, read_folder, read_frame, read_manifest, split_by_group
from calibration.proof_report import as_html, contact_sheet, markdown
from calibration.proving import Trial, try_out
from calibration.taps import Backbone, Head, backbone_sha256, engine_bytes, open_backbone
from calibration.teach import Lesson, Taught, scores_of, teach
from calibration.thresholds import Wish as ThresholdWish
from calibration.work import WorkFolder, chained, mtime, now, stamp, who
from edge._core import PixelFormat
from engines.manifest import load_manifest
from engines.store.folder import EngineStore
from engines.store.offer import Offer, offer_onnx
from engines.store.pair import activate_together

Say = Callable[[str, float], None]
STEPS = ("collect", "check", "assist", "split", "augment", "teach", "calibrate", "prove", "activate")


@dataclass(frozen=True)
class Wish:
    """What the engineer asks for."""

    name: str
    """Of the new class."""
    images: Path
    data: Path
    """CSV of the old classes' pictures."""
    engines: tuple[str, ...]
    """``shipped:classifier``, ``store:NAME``, or manifests; the first is the one that checks the pictures."""
    why: str = ""
    seed: int = 1
    exam_share: float = 0.0
    margin_points: float = exams.MARGIN_POINTS
    max_added_ms: float | None = None
    activate: bool = True
    pixel_format: str = ""
    """Of the new pictures: ``bayer_rg8`` for a raw mosaic."""
    escape_rate: float = 0.001
    """That the pair's thresholds shall show."""
    confidence: float = 0.95
    cache: Path | None = None
    """Folder of feature banks; None: in the work folder."""


@dataclass
class Teaching:
    """Runs the steps of one wish in one work folder. The caller holds the folder (``WorkFolder.held``)."""

    wish: Wish
    work: WorkFolder
    say: Say = lambda phase, share: None
    store: EngineStore | None = None
    _chain: str = ""
    _said: dict[str, dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def backbones(self) -> list[Backbone]:
        """Of the engines that are taught."""
        return [open_backbone(load_manifest(engine_named(name))) for name in self.wish.engines]

    def prepare(self) -> None:
        """Makes the features of the old pictures, once per engine; lessons with the same cache find them."""
        self.collect()
        _, old = self._read_pictures("collect.json")
        for backbone in self.backbones:
            self._bank(backbone, old, "old")

    def run(self, until: str = STEPS[-1], again: bool = False) -> dict[str, dict[str, Any]]:
        """All steps up to ``until``; those that are done from the same things are not done again, unless ``again``
        (the last one). Raises CalibrationError and EnginesError."""
        self._check_name()
        self._chain = chained("", *self._identity())
        for step in STEPS[: STEPS.index(until) + 1]:
            self._chain = chained(self._chain, step)
            said = None if again and step == until else self.work.done(step, self._chain)
            if said is None:
                self.work.note(step, "begun")
                self.say(step, 0.0)
                said = _DO[step](self)
                self.work.mark(step, self._chain, said)
            self.say(step, 1.0)
            self._said[step] = said
        return self._said

    def _identity(self) -> list[object]:
        w = self.wish
        return [
            w.name, w.pixel_format, w.seed, w.exam_share, w.margin_points, w.max_added_ms, w.escape_rate, w.confidence,
            stamp(w.images), stamp(w.data),
            *[backbone_sha256(b.manifest.model_path) for b in self.backbones],
        ]  # fmt: skip

    def _check_name(self) -> None:
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

    # --- steps ---------------------------------------------------------------------------------------

    def collect(self) -> dict[str, Any]:
        """New and old pictures, written down."""
        found = read_folder(self.wish.images, self.wish.name)
        old = [p for p in read_manifest(self.wish.data) if p.label != self.wish.name]
        known = set(self.backbones[0].manifest.classes)
        strange = sorted({p.label for p in old} - known)
        old = [p for p in old if p.label in known]
        if not old:
            raise CalibrationError(
                f"{self.wish.data}: no picture of {sorted(known)} (found {strange}); the old classes must be replayed, "
                "else they would be forgotten: give their data set with --data"
            )
        if not any(p.split not in ("", "train") for p in old):
            old = split_by_group(old, 0.3, self.wish.seed)
        formats = {p.pixel_format for p in old}  # of one camera: the new pictures come from it too
        raw = self.wish.pixel_format or (formats.pop() if len(formats) == 1 else "")
        new = [replace(p, pixel_format=p.pixel_format or raw) for p in found]
        self._write_pictures("collect.json", new, old)
        return {"new": len(new), "old": len(old), "ignored_classes": strange}

    def check(self) -> dict[str, Any]:
        """Findings; the pictures that stay."""
        new, old = self._read_pictures("collect.json")
        readable, broken = [], []
        for picture in new:
            try:
                read_frame(picture)
                readable.append(picture)
            except CalibrationError as error:
                broken.append(
                    {"kind": "unreadable", "path": str(picture.path), "text": str(error), "drop": True}
                )
        if not readable:
            raise CalibrationError(f"{self.wish.images}: no picture can be read: {broken[0]['text']}")
        first = self.backbones[0]
        bank = self._bank(first, readable, "new")
        found = check(bank, self._bank(first, old, "old"), first.manifest, self.wish.name)
        self.work.write("check.json", json.dumps([*broken, *[asdict(f) for f in found]], indent=1))
        refuse_bad(found)
        dropped = {f.path for f in found if f.drop}
        groups = same_parts(bank)
        kept = [
            replace(p, group=group)
            for p, group in zip(readable, groups, strict=True)
            if str(p.path) not in dropped
        ]
        self._write_pictures("checked.json", kept, old)
        kinds = [f.kind for f in found] + ["unreadable"] * len(broken)
        return {"kept": len(kept), "findings": {kind: kinds.count(kind) for kind in sorted(set(kinds))}}

    def assist(self) -> dict[str, Any]:
        """Proposed boxes, and a sheet that shows them."""
        new, old = self._read_pictures("checked.json")
        good = [p for p in old if p.label == self.backbones[0].manifest.good_class and p.split == "train"]
        known = (good or [p for p in old if p.split == "train"])[:60]
        assistant = Assistant(self.backbones[0], known)
        boxes = {}
        for index, picture in enumerate(new):
            boxes[str(picture.path)] = asdict(assistant.propose(picture))
            self.say("assist", (index + 1) / len(new))
        self.work.write("assist.json", json.dumps(boxes, indent=1))
        return {"proposals": len(boxes)}

    def split(self) -> dict[str, Any]:
        """Parts of the new class that are kept back for the exam."""
        new, old = self._read_pictures("checked.json")
        new = [replace(p, split="") for p in new]
        new = split_by_group(new, self.wish.exam_share, self.wish.seed)
        self._write_pictures("split.json", new, old)
        exam = sum(p.split == "exam" for p in new)
        return {"train": len(new) - exam, "exam": exam}

    def augment(self) -> dict[str, Any]:
        """Defects laid onto good parts, where there are too few; other copies are made when they are looked at."""
        new, old = self._read_pictures("split.json")
        few = [p for p in new if p.split == "train"]
        made: list[str] = []
        good = [p for p in old if p.label == self.backbones[0].manifest.good_class and p.split == "train"]
        if len(few) < copies.FEW and good:
            boxes = json.loads((self.work.root / "assist.json").read_text(encoding="utf-8"))
            for index, picture in enumerate(few):
                for copy in range(6):
                    ground = good[(index * 6 + copy) % len(good)]
                    laid = copies.lay_onto(
                        as_bgr(*read_frame(picture)),
                        tuple(boxes[str(picture.path)]["box"]),
                        as_bgr(*read_frame(ground)),
                        self.wish.seed * 1000 + index * 10 + copy,
                    )
                    if laid is not None:
                        ok, content = cv2.imencode(".png", laid)
                        name = f"laid/{index:03d}-{copy}.png"
                        made.append(str(self.work.write(name, content.tobytes())) if ok else "")
        self.work.write("augment.json", json.dumps(made))
        return {"laid": len(made), "copies": copies.enough_copies(len(few))}

    def teach(self) -> dict[str, Any]:
        """A head for each engine, by cross-validation."""
        said: dict[str, Any] = {}
        for backbone in self.backbones:
            lesson, rows = self._lesson(backbone)
            taught = teach(lesson, self.wish.seed, self.say)
            self._keep(backbone, taught, lesson, rows)
            said[backbone.manifest.role] = {
                "way": str(taught.way),
                "recall_cv": round(taught.recall, 4),
                "old_loss_cv": round(taught.old_loss, 5),
                "doubtful": len(taught.doubtful),
            }
        return said

    def calibrate(self) -> dict[str, Any]:
        """The candidate's files: model, manifest, golden set."""
        said: dict[str, Any] = {}
        for backbone in self.backbones:
            head = self.head(backbone)
            model = engine_bytes(backbone, head)
            role = backbone.manifest.role
            self.work.write(f"candidate/{role}.onnx", model)
            exam = self.exam(backbone)
            golden = exams.golden_rows(exam)
            self.work.write(
                f"candidate/{role}-golden.npz", golden_bytes(backbone, exam, np.flatnonzero(golden))
            )
            said[role] = {"golden": int(golden.sum()), "bytes": len(model)}
        return said

    def prove(self) -> dict[str, Any]:
        """Before and after; the manifest is written when the figures are known."""
        proofs, facts, sheet, said = [], dict[str, Any](), [], dict[str, Any]()
        for backbone in self.backbones:
            m, head, exam = backbone.manifest, self.head(backbone), self.exam(backbone)
            meta = self._meta(backbone)
            classes = (*m.classes, self.wish.name)
            cv = (round(meta["recall"] * meta["parts"]), meta["parts"])
            proof = exams.prove(
                role=m.role,
                head=head,
                exam=exam,
                classes=classes,
                good=m.good_class,
                new_cv=cv,
                golden=exams.golden_rows(exam),
                margin_points=self.wish.margin_points,
            )
            trial = try_out(backbone, self.work.root / f"candidate/{m.role}.onnx", exam, self.say)
            proof = _with_trial(proof, trial, self.wish.max_added_ms)
            proofs.append(proof)
            facts |= {f"{m.role}: {key}": value for key, value in trial.in_words().items()}
            facts[f"{m.role}: escapes"] = exams.data_supports(*proof.escapes)
            facts[f"{m.role}: taught by"] = meta["way"]
            sheet += self._telling(backbone, proof, exam, meta)
            made = manifest_of(self.work.root / "candidate", backbone, proof, trial, self._lesson_facts(meta))
            self.work.write(f"candidate/{m.role}.yaml", made)
            said[m.role] = {**proof.as_dict(), "trial": asdict(trial)}
        facts["thresholds"], said["thresholds"] = self._certify()
        text = markdown(self.wish.name, proofs, facts)
        self.work.write("proof.md", text)
        self.work.write("proof.html", as_html(text, "proof.png"))
        ok, content = cv2.imencode(".png", contact_sheet(sheet))
        if ok:
            self.work.write("proof.png", content.tobytes())
        refused = [f"{p.role}: {why}" for p in proofs for why in p.refused]
        certified = said.pop("thresholds")
        return {"refused": refused, "thresholds": certified, "engines": said}

    def _certify(self) -> tuple[str, dict[str, Any]]:
        """In words and for JSON; ``candidate/recipe.yaml`` where something could be shown."""
        by_role = {backbone.manifest.role: backbone for backbone in self.backbones}
        gate = by_role.get("gate")
        if gate is None:
            return "not certified: thresholds belong to gate and classifier, and the gate was not taught", {}
        m, rows = gate.manifest, self.exam(gate)
        scores = {role: self._exam_scores(backbone) for role, backbone in by_role.items()}
        roles = PairRoles((*m.classes, self.wish.name), m.good_class, m.empty_class)
        exam = PairExam(
            roles, rows.labels, rows.groups, scores["gate"], scores.get("classifier"), rows.brightness
        )
        found = certify(exam, ThresholdWish(self.wish.escape_rate, self.wish.confidence), self.wish.seed)
        if found.shown is not None:
            paths = {role: self.work.root / f"candidate/{role}.onnx" for role in by_role}
            hashes = {
                str(role): hashlib.sha256(path.read_bytes()).hexdigest() for role, path in paths.items()
            }
            source = ("edge calibrate new-defect", self.wish.name)
            self.work.write("candidate/recipe.yaml", recipe_yaml(found, hashes, source))
        else:
            (self.work.root / "candidate/recipe.yaml").unlink(missing_ok=True)
        self.work.write("candidate/certified.json", json.dumps(found.as_dict(), indent=1))
        return found.in_words(), {"holds": found.holds, "shown": found.shown, "asked": found.asked}

    def _exam_scores(self, backbone: Backbone) -> Any:
        rows = self.exam(backbone)
        return scores_of(self.head(backbone), rows.taps, rows.logits).astype(np.float32)

    def activate(self) -> dict[str, Any]:
        """Into the engine store, signed and active, both engines or none; or nothing at all when refused."""
        if refused := self._said["prove"]["refused"]:
            return {"active": False, "refused": refused}
        if not self.wish.activate:
            return {"active": False, "refused": []}
        store = self.store or EngineStore()
        stored = []
        for backbone in self.backbones:
            role = backbone.manifest.role
            golden = golden_set(self.work.root / f"candidate/{role}-golden.npz")
            offer = Offer(self.work.root / f"candidate/{role}.yaml", golden, runs=60)
            stored.append(offer_onnx(store, offer, self.say))
        before = activate_together(store, stored, f"taught {self.wish.name}")
        audit = {
            "time": now(),
            "who": who(),
            "why": self.wish.why,
            "new_class": self.wish.name,
            "data_sha256": self._chain,
            "active": {item.entry.name: item.id for item in stored},
            "before": before,
        }
        self.work.write("audit.json", json.dumps(audit, indent=1))
        return {"active": True, "refused": [], **audit}

    # --- what steps share ----------------------------------------------------------------------------

    def _bank(self, backbone: Backbone, pictures: Sequence[Picture], what: str, copy: int = -1) -> Bank:
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
            bank = make_bank(backbone, pictures, classes, self.say, self._altering(pictures, copy))
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

    def _lesson(self, backbone: Backbone) -> tuple[Lesson, Bank]:
        new, old = self._read_pictures("split.json")
        learn = [p for p in new if p.split == "train"]
        old_bank = self._bank(backbone, old, "old")
        banks = [old_bank.pick(~old_bank.exam), self._bank(backbone, learn, "new")]
        origin = [np.full(len(bank), -1) for bank in banks]
        first = len(banks[0])
        for copy in range(copies.enough_copies(len(learn))):
            banks.append(self._bank(backbone, learn, "copy", copy))
            origin.append(first + np.arange(len(learn)))
        made = json.loads((self.work.root / "augment.json").read_text(encoding="utf-8"))
        if made:
            laid = [Picture(Path(path), self.wish.name, "train") for path in made]
            banks.append(self._bank(backbone, laid, "laid"))
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
        new, old = self._read_pictures("split.json")
        kept = [p for p in new if p.split == "exam"]
        old_bank = self._bank(backbone, old, "old")
        banks = [old_bank.pick(old_bank.exam)]
        if kept:
            banks.append(self._bank(backbone, kept, "exam"))
        return joined(banks)

    def _keep(self, backbone: Backbone, taught: Taught, lesson: Lesson, rows: Bank) -> None:
        content = io.BytesIO()
        head = taught.head
        np.savez(
            content, mean=head.mean, spread=head.spread, weights=head.weights, bias=head.bias, clip=head.clip
        )
        role = backbone.manifest.role
        good = backbone.manifest.classes.index(backbone.manifest.good_class)
        meta = {
            "way": str(taught.way),
            "recall": taught.recall,
            "old_loss": taught.old_loss,
            "parts": int(((lesson.labels == lesson.classes - 1) & (lesson.original < 0)).sum()),
            "lesson_rows": len(rows),
            "doubtful": [str(rows.paths[i]) for i in taught.doubtful if lesson.labels[i] == good],
        }
        self.work.write(f"head-{role}.json", json.dumps(meta, indent=1))
        self.work.write(f"head-{role}.npz", content.getvalue())

    def _meta(self, backbone: Backbone) -> dict[str, Any]:
        path = self.work.root / f"head-{backbone.manifest.role}.json"
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def head(self, backbone: Backbone) -> Head:
        """What was taught."""
        with np.load(self.work.root / f"head-{backbone.manifest.role}.npz") as data:
            return Head(data["mean"], data["spread"], data["weights"], data["bias"], float(data["clip"]))

    def _telling(
        self, backbone: Backbone, proof: exams.Proof, exam: Bank, meta: Mapping[str, Any]
    ) -> list[Any]:
        role, lost = backbone.manifest.role, np.array(proof.lost_rows, np.int64)
        entries = [(p, f"{role}: lost, is {p.label}") for p in exam.pictures(lost)]
        entries += [
            (Picture(Path(path), ""), f"{role}: mislabelled as good?") for path in meta["doubtful"][:12]
        ]
        return entries

    def _lesson_facts(self, meta: Mapping[str, Any]) -> LessonFacts:
        return LessonFacts(self.wish.name, self.wish.seed, int(meta["lesson_rows"]))

    def _write_pictures(self, name: str, new: Sequence[Picture], old: Sequence[Picture]) -> None:
        rows = {"new": [_as_row(p) for p in new], "old": [_as_row(p) for p in old]}
        self.work.write(name, json.dumps(rows))

    def _read_pictures(self, name: str) -> tuple[list[Picture], list[Picture]]:
        rows = json.loads((self.work.root / name).read_text(encoding="utf-8"))
        new, old = (
            [Picture(**{**row, "path": Path(row["path"])}) for row in rows[k]] for k in ("new", "old")
        )
        return new, old


_DO: Mapping[str, Callable[[Teaching], dict[str, Any]]] = {
    "collect": Teaching.collect,
    "check": Teaching.check,
    "assist": Teaching.assist,
    "split": Teaching.split,
    "augment": Teaching.augment,
    "teach": Teaching.teach,
    "calibrate": Teaching.calibrate,
    "prove": Teaching.prove,
    "activate": Teaching.activate,
}


def _with_trial(proof: exams.Proof, trial: Trial, max_added_ms: float | None) -> exams.Proof:
    added = trial.after_p50_ms - trial.before_p50_ms
    if max_added_ms is None or added <= max_added_ms:
        return proof
    why = f"takes {added:.2f} ms longer than the engine before, allowed {max_added_ms:g} ms"
    return replace(proof, refused=(*proof.refused, why))


def _as_row(picture: Picture) -> dict[str, str]:
    return {**asdict(picture), "path": str(picture.path)}
