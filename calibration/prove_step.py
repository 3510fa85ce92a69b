"""The step that judges a candidate: before and after, refused or not, thresholds certified again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from calibration import prove as exams
from calibration.bank import Bank
from calibration.candidate import LessonFacts, manifest_of
from calibration.certified_recipe import recipe_yaml
from calibration.certify import PairExam, PairRoles, certify
from calibration.desk import Desk
from calibration.pictures import Picture
from calibration.proof_report import as_html, contact_sheet, markdown
from calibration.proving import Trial, try_out
from calibration.taps import Backbone
from calibration.teach import scores_of
from calibration.teach_steps import head_of, meta_of
from calibration.thresholds import Wish as ThresholdWish


def prove(desk: Desk) -> dict[str, Any]:
    """Before and after; the manifest is written when the figures are known."""
    proofs, facts, sheet, said = [], dict[str, Any](), [], dict[str, Any]()
    for backbone in desk.backbones:
        m, head, exam = backbone.manifest, head_of(desk, backbone), desk.exam(backbone)
        meta = meta_of(desk, backbone)
        classes = (*m.classes, desk.wish.name)
        cv = (round(meta["recall"] * meta["parts"]), meta["parts"])
        proof = exams.prove(
            role=m.role,
            head=head,
            exam=exam,
            classes=classes,
            good=m.good_class,
            new_cv=cv,
            golden=exams.golden_rows(exam),
            margin_points=desk.wish.margin_points,
            replayed=meta.get("replayed", meta["lesson_rows"]),
        )
        trial = try_out(backbone, desk.work.root / f"candidate/{m.role}.onnx", exam, desk.say)
        proof = _with_trial(proof, trial, desk.wish.max_added_ms)
        proofs.append(proof)
        facts |= {f"{m.role}: {key}": value for key, value in trial.in_words().items()}
        facts[f"{m.role}: escapes"] = exams.data_supports(*proof.escapes)
        facts[f"{m.role}: taught by"] = meta["way"]
        sheet += _telling(desk, backbone, proof, exam, meta)
        made = manifest_of(desk.work.root / "candidate", backbone, proof, trial, _lesson_facts(desk, meta))
        desk.work.write(f"candidate/{m.role}.yaml", made)
        said[m.role] = {**proof.as_dict(), "trial": asdict(trial)}
    facts["thresholds"], said["thresholds"] = _certify(desk)
    text = markdown(desk.wish.name, proofs, facts)
    desk.work.write("proof.md", text)
    desk.work.write("proof.html", as_html(text, "proof.png"))
    ok, content = cv2.imencode(".png", contact_sheet(sheet))
    if ok:
        desk.work.write("proof.png", content.tobytes())
    refused = [f"{p.role}: {why}" for p in proofs for why in p.refused]
    certified = said.pop("thresholds")
    return {"refused": refused, "thresholds": certified, "engines": said}


def _certify(desk: Desk) -> tuple[str, dict[str, Any]]:
    """In words and for JSON; ``candidate/recipe.yaml`` where something could be shown."""
    by_role = {backbone.manifest.role: backbone for backbone in desk.backbones}
    gate = by_role.get("gate")
    if gate is None:
        return "not certified: thresholds belong to gate and classifier, and the gate was not taught", {}
    m, rows = gate.manifest, desk.exam(gate)
    scores = {role: _exam_scores(desk, backbone) for role, backbone in by_role.items()}
    roles = PairRoles((*m.classes, desk.wish.name), m.good_class, m.empty_class)
    exam = PairExam(
        roles, rows.labels, rows.groups, scores["gate"], scores.get("classifier"), rows.brightness
    )
    found = certify(exam, ThresholdWish(desk.wish.escape_rate, desk.wish.confidence), desk.wish.seed)
    if found.shown is not None:
        paths = {role: desk.work.root / f"candidate/{role}.onnx" for role in by_role}
        hashes = {str(role): hashlib.sha256(path.read_bytes()).hexdigest() for role, path in paths.items()}
        source = ("edge calibrate new-defect", desk.wish.name)
        desk.work.write("candidate/recipe.yaml", recipe_yaml(found, hashes, source))
    else:
        (desk.work.root / "candidate/recipe.yaml").unlink(missing_ok=True)
    desk.work.write("candidate/certified.json", json.dumps(found.as_dict(), indent=1))
    return found.in_words(), {"holds": found.holds, "shown": found.shown, "asked": found.asked}


def _exam_scores(desk: Desk, backbone: Backbone) -> Any:
    rows = desk.exam(backbone)
    return scores_of(head_of(desk, backbone), rows.taps, rows.logits).astype(np.float32)


def _telling(
    desk: Desk, backbone: Backbone, proof: exams.Proof, exam: Bank, meta: Mapping[str, Any]
) -> list[Any]:
    role, lost = backbone.manifest.role, np.array(proof.lost_rows, np.int64)
    entries = [(p, f"{role}: lost, is {p.label}") for p in exam.pictures(lost)]
    entries += [(Picture(Path(path), ""), f"{role}: mislabelled as good?") for path in meta["doubtful"][:12]]
    return entries


def _lesson_facts(desk: Desk, meta: Mapping[str, Any]) -> LessonFacts:
    return LessonFacts(desk.wish.name, desk.wish.seed, int(meta["lesson_rows"]))


def _with_trial(proof: exams.Proof, trial: Trial, max_added_ms: float | None) -> exams.Proof:
    added = trial.after_p50_ms - trial.before_p50_ms
    if max_added_ms is None or added <= max_added_ms:
        return proof
    why = f"takes {added:.2f} ms longer than the engine before, allowed {max_added_ms:g} ms"
    return replace(proof, refused=(*proof.refused, why))
