"""One line in three ways to judge: as it is, by its classifier alone, by its gate alone."""

from edge.camera.settings import RecordingSettings, ReplaySettings, TwinSettings
from edge.config import LineConfig, RecordSettings
from edge.errors import ConfigError
from edge.inspection.settings import RetestSettings, ScoreSettings
from edge.report.settings import ReportSettings

HYBRID, CLASSIFIER, GATE = "hybrid", "classifier", "gate"
_SAME_PARTS = (TwinSettings, ReplaySettings, RecordingSettings)
_NO_REAL_PLC = {"twin", "none"}


def arms(config: LineConfig) -> dict[str, LineConfig]:
    """Name → line. Raises ConfigError: no classifier, other parts each time, or a real PLC."""
    _refuse(config)
    quiet = config.model_copy(
        update={"certificate": None, "report": ReportSettings(), "records": RecordSettings()}
    )
    return {HYBRID: quiet, CLASSIFIER: _classifier_alone(quiet), GATE: _gate_alone(quiet)}


def _refuse(config: LineConfig) -> None:
    if config.engines.classifier is None:
        raise ConfigError(
            "engines.classifier: none found, but the comparison is with it; expected its manifest"
        )
    if not isinstance(config.camera, _SAME_PARTS):
        raise ConfigError(
            f"camera.kind is {config.camera.kind}, which never shows the same parts twice; expected twin, replay or "
            "recording: record some parts (edge run LINE.yaml --record DIR), or put your engines in examples/demo.yaml"
        )
    if config.plc.kind not in _NO_REAL_PLC:
        raise ConfigError(
            f"plc.kind is {config.plc.kind}: two of the three ways to judge are not certified, and their verdicts must "
            "not reach an ejector; set plc.kind to twin"
        )


def _classifier_alone(config: LineConfig) -> LineConfig:
    """The classifier in the gate's place: what it does not find good is rejected, as uncertain or as a defect."""
    steps = tuple(
        step.model_copy(
            update={
                "gate_good": step.classifier_good,
                "gate_defect": 1.0,
                "retest_good": None,
                "expected": None,
            }
        )
        for step in config.routing
    )
    return config.model_copy(
        update={
            "engines": config.engines.model_copy(
                update={"gate": config.engines.classifier, "classifier": None}
            ),
            "routing": steps,
            "scores": ScoreSettings(gate=config.scores.classifier),
            "retest": RetestSettings(),
            # Sharpness is measured in the gate's input, and the limit is for its size.
            "exposure": config.exposure.model_copy(update={"min_sharpness": 0.0}),
        }
    )


def _gate_alone(config: LineConfig) -> LineConfig:
    """What the gate is not sure of is rejected."""
    return config.model_copy(
        update={
            "engines": config.engines.model_copy(update={"classifier": None}),
            "retest": RetestSettings(),
        }
    )
