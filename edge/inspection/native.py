"""Routing as the line file has it → as the native loop, and whoever evaluates it, takes it."""

from edge import _core
from edge.inspection.rules import RuleSettings, class_limits
from edge.inspection.settings import EngineScores, RoutingStep, ScoreMap
from engines.manifest import EngineManifest

SECOND_VIEWS = {
    "none": _core.SecondView.NONE,
    "mirrored": _core.SecondView.MIRRORED,
    "exposed": _core.SecondView.EXPOSED,
}
_NEVER = 2.0
"""Above every score."""


def routing_row(step: RoutingStep) -> _core.RoutingRow:
    """Metres per second → micrometres per second."""
    return _core.RoutingRow(
        speed_um_per_s=round(step.up_to_m_per_s * 1e6),
        gate_good=step.gate_good,
        gate_defect=step.gate_defect,
        gate_empty=step.gate_empty,
        classifier_good=step.classifier_good,
        retest_good=_NEVER if step.retest_good is None else step.retest_good,
    )


def score_calibration(scores: EngineScores) -> _core.ScoreCalibration:
    """All three maps of one engine."""
    return _core.ScoreCalibration(
        good=_map(scores.good), defect=_map(scores.defect), empty=_map(scores.empty)
    )


def class_roles(rules: RuleSettings, manifest: EngineManifest) -> _core.ClassRoles:
    """Which class is which, and the limits of each."""
    return _core.ClassRoles(
        good=manifest.classes.index(manifest.good_class),
        empty=manifest.classes.index(manifest.empty_class),
        limits=class_limits(rules, manifest.classes),
    )


def _map(scores: ScoreMap) -> _core.ScoreMap:
    return _core.ScoreMap(gain=scores.gain, bias=scores.bias)
