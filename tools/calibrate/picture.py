"""Reliability of scores, before and after their calibration, as a picture."""

from collections.abc import Sequence
from pathlib import Path

from calibration.evidence import ScoreFit, quantities, truths
from calibration.predictions import Predictions
from calibration.scores import expected_calibration_error, reliability
from engines.manifest import EngineManifest


def draw_reliability(
    p: Predictions, manifest: EngineManifest, fits: Sequence[tuple[str, ScoreFit]], path: Path
) -> dict[str, tuple[float, float]]:
    """SVG or PNG of the good class of gate and classifier, on parts that fitted nothing.

    Returns by engine the expected calibration error before and after.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(fits), figsize=(5 * len(fits), 4.6), squeeze=False)
    errors = {}
    true = truths(p.class_id, manifest)["good"]
    for axis, (name, fit) in zip(axes[0], fits, strict=True):
        raw = quantities(getattr(p, name), manifest)["good"]
        pair = []
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for label, scores, style in (("as given", raw, "o--"), ("calibrated", fit.good(raw), "s-")):
            bins = reliability(scores, true)
            pair.append(expected_calibration_error(bins))
            axis.plot(
                [b.said for b in bins], [b.true for b in bins], style, label=f"{label}, error {pair[-1]:.4f}"
            )
        errors[name] = (pair[0], pair[1])
        axis.set(title=name, xlabel="score of the good class", ylabel="share that is good")
        axis.legend(loc="upper left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part-" + path.name)
    figure.savefig(part, metadata={"Date": None} if path.suffix == ".svg" else None)
    part.replace(path)
    plt.close(figure)
    return errors
