"""From predictions to a recipe: score calibration and thresholds from learning parts, the certificate from others."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.errors import CalibrationError
from calibration.evidence import ScoreFit, fit_scores, quantities, truths
from calibration.predictions import Predictions
from calibration.thresholds import Certified, Counts, Evidence, Thresholds, Wish, learn, refusal, test
from edge._core import Verdict
from edge.config import LineConfig
from edge.inspection.certificate import Certificate, CertificationData, CertifiedStep, decides_hash
from edge.inspection.recipe import Recipe
from edge.inspection.settings import (
    EngineScores,
    Expected,
    ExposureSettings,
    RetestSettings,
    RoutingStep,
    ScoreMap,
    ScoreSettings,
)
from engines.bounds import trials_needed
from engines.manifest import EngineManifest
from tools.evaluate.asking import LineTiming
from tools.evaluate.routed import guarded, route, speed_row

METHOD = "learn then test: fixed-sequence testing, exact binomial p-values, level split between sequences"
RETEST_FROM = 0.3
"""Calibrated probability of the good class from which a second look is worth its time; below, the part is rejected."""
_BOTH, _ALONE = "gate and classifier", "gate alone"
_FALLEN_BACK = 1.0
"""A threshold that no score reaches."""


def _settings(fit: ScoreFit) -> EngineScores:
    return EngineScores(
        **{
            name: ScoreMap(gain=getattr(fit, name).gain, bias=getattr(fit, name).bias)
            for name in ("good", "defect", "empty")
        }
    )


def evidence_of(
    p: Predictions, line: LineConfig, manifest: EngineManifest, gate: ScoreFit, classifier: ScoreFit | None
) -> Evidence:
    """Calibrated, with the second look folded into the classifier's score: the mean where one is taken."""
    true, raw = truths(p.class_id, manifest), quantities(p.gate, manifest)
    second = None
    if classifier is not None:
        second = classifier.good(quantities(p.classifier, manifest)["good"])
        again = classifier.good(quantities(p.again, manifest)["good"])
        looked = ~np.isnan(again) & (second >= RETEST_FROM)
        second = np.where(looked, (second + np.nan_to_num(again)) / 2, second)
    return Evidence(
        true["defect"],
        true["good"],
        guarded(p, line.exposure),
        gate.good(raw["good"]),
        gate.defect(raw["defect"]),
        gate.empty(raw["empty"]),
        second,
    )


@dataclass(frozen=True)
class Way:
    """One way to decide that was tested, and the speeds at which the line decides so; perhaps none."""

    name: str
    speeds: tuple[float, ...]
    certified: Certified
    tests: int
    """Ways that were tested and share the level."""


class TableMaker:
    """Learns on one set of parts, certifies on another."""

    def __init__(
        self,
        *,
        line: LineConfig,
        manifest: EngineManifest,
        learning: Predictions,
        wish: Wish,
        view: str,
        timing: LineTiming,
    ) -> None:
        self.gate_fit = fit_scores(learning.class_id, learning.gate, manifest)
        self.classifier_fit = fit_scores(learning.class_id, learning.classifier, manifest)
        self._learning, self._wish, self._manifest, self._timing = learning, wish, manifest, timing
        self._line = line.model_copy(
            update={
                "scores": ScoreSettings(
                    gate=_settings(self.gate_fit), classifier=_settings(self.classifier_fit)
                ),
                "retest": RetestSettings(view=view, brightness_mean=line.retest.brightness_mean),
            }
        )

    def certify(self, parts: Predictions, speeds: Sequence[float]) -> list[Way]:
        """Every way that was tested, with the speeds at which it rejects the fewest good ones of ``parts``.

        That is with this machine's latencies: a part that there is no time for is rejected. Both ways hold together, so
        one may be chosen afterwards. With parts too few for two, only the first is tested. Raises CalibrationError when
        the parts cannot carry the claim, or the engines do not keep it.
        """
        wish = self._wish
        defective = int(truths(parts.class_id, self._manifest)["defect"].sum())
        if defective < trials_needed(wish.escape_rate, wish.confidence):
            raise CalibrationError(refusal(defective, wish, 1))
        for_two = trials_needed(wish.escape_rate, wish.level(2))
        names = (_BOTH, _ALONE) if defective >= for_two else (_BOTH,)
        certified, failed = dict[str, Certified](), list[CalibrationError]()
        for name in names:
            try:
                certified[name] = test(self._path(name), lambda t: self._count(parts, t), wish, len(names))
            except CalibrationError as error:
                failed.append(error)
        if not certified:
            raise failed[0]
        overkills = {name: self._overkills(parts, way.thresholds, speeds) for name, way in certified.items()}
        best = [min(certified, key=lambda name: overkills[name][index]) for index in range(len(speeds))]
        return [
            Way(
                name,
                tuple(s for s, chosen in zip(speeds, best, strict=True) if chosen == name),
                way,
                len(names),
            )
            for name, way in certified.items()
        ]

    def _overkills(self, parts: Predictions, thresholds: Thresholds, speeds: Sequence[float]) -> list[float]:
        steps = tuple(self._step(thresholds, speed) for speed in speeds)
        line = self._line.model_copy(update={"routing": steps})
        return [speed_row(parts, line, self._manifest, s, self._timing).overkill_rate for s in speeds]

    def _path(self, name: str) -> Sequence[Thresholds]:
        with_classifier = self.classifier_fit if name == _BOTH else None
        evidence = evidence_of(self._learning, self._line, self._manifest, self.gate_fit, with_classifier)
        return learn(evidence, self._wish)

    def _count(self, p: Predictions, thresholds: Thresholds) -> Counts:
        """By the loop's own routing, with time enough: what is short of time is rejected, which never escapes."""
        line = self._line.model_copy(update={"routing": (self._step(thresholds, 20.0),)})
        routed = route(p, line, self._manifest, 1.0, None)
        true = truths(p.class_id, self._manifest)
        rejected = routed.verdict == Verdict.REJECT
        return Counts(
            int(true["defect"].sum()),
            int((true["defect"] & ~rejected).sum()),
            int(true["good"].sum()),
            int((true["good"] & rejected).sum()),
        )

    def _step(self, t: Thresholds, speed: float, expected: Expected | None = None) -> RoutingStep:
        retest = self._line.retest.view != "none" and RETEST_FROM < t.classifier_good < _FALLEN_BACK
        return RoutingStep(
            up_to_m_per_s=speed,
            gate_good=t.gate_good,
            gate_defect=t.gate_defect,
            gate_empty=t.gate_empty,
            classifier_good=t.classifier_good,
            retest_good=RETEST_FROM if retest else None,
            expected=expected,
        )

    def recipe(self, ways: Sequence[Way], parts: Predictions, source: str, engines: dict[str, str]) -> Recipe:
        """The table with what it gave on the certification parts, and the certificate."""
        steps = sorted(
            (self._step(way.certified.thresholds, speed) for way in ways for speed in way.speeds),
            key=lambda step: step.up_to_m_per_s,
        )
        line = self._line.model_copy(update={"routing": tuple(steps)})
        told = tuple(
            step.model_copy(update={"expected": self._expected(parts, line, step)}) for step in steps
        )
        true = truths(parts.class_id, self._manifest)
        certificate = Certificate(
            date=datetime.datetime.now(datetime.timezone.utc).date(),
            escape_rate=self._wish.escape_rate,
            confidence=self._wish.confidence,
            method=METHOD,
            tests=ways[0].tests,
            thresholds_tried=sum(way.certified.tried for way in ways),
            data=CertificationData(
                source=source,
                sha256=parts.sha256,
                parts=len(parts),
                defective=int(true["defect"].sum()),
                good=int(true["good"].sum()),
                brightness_mean=_light(parts, line.exposure),
            ),
            engines=engines,
            decides_sha256=decides_hash(told, line.scores, line.retest, line.rules),
            steps=tuple(_certified_step(way) for way in ways if way.speeds),
        )
        return Recipe(
            scores=line.scores, retest=line.retest, rules=line.rules, routing=told, certificate=certificate
        )

    def _expected(self, parts: Predictions, line: LineConfig, step: RoutingStep) -> Expected:
        row = speed_row(parts, line, self._manifest, step.up_to_m_per_s, self._timing)
        return Expected(
            escalated=round(1 - row.gate_share, 5),
            no_time=round(row.no_time_share, 5),
            latency_ms=round(row.latency_ms, 3),
            latency_p999_ms=round(row.latency_p999_ms, 3),
            escape=row.escape_rate,
            overkill=round(row.overkill_rate, 5),
        )


def _light(parts: Predictions, limits: ExposureSettings) -> tuple[float, float]:
    seen = parts.brightness_mean[guarded(parts, limits)]
    return round(float(seen.min()), 1), round(float(seen.max()), 1)


def _certified_step(way: Way) -> CertifiedStep:
    counts = way.certified.counts
    return CertifiedStep.model_validate(
        {
            "up_to_m_per_s": way.speeds,
            "way": way.name,
            "defective": counts.defective,
            "escapes": counts.escapes,
            "good": counts.good,
            "overkills": counts.overkills,
            "escape_upper": way.certified.upper,
        }
    )
