"""What was certified, as a recipe for a line file; with a certificate only where all that was asked is shown."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from calibration.certify import Certification
from edge.inspection.certificate import Certificate, CertificationData, CertifiedStep, decides_hash
from edge.inspection.recipe import Recipe

MAX_SPEED_M_PER_S = 3.0
"""Of the one step that is written: what is short of time is rejected, so that the bound holds at every speed."""
METHOD = "learn then test on half of the exam: fixed sequence, exact binomial p-values"


def recipe_yaml(found: Certification, hashes: Mapping[str, str], source: Sequence[str]) -> str:
    """Its head says what was shown, and of which engines; ``found.shown`` is not None."""
    assert found.thresholds is not None and found.fits is not None
    step = {"up_to_m_per_s": MAX_SPEED_M_PER_S, **asdict(found.thresholds)}
    data: dict[str, Any] = {
        "scores": {role: asdict(fit) for role, fit in found.fits.items()},
        "routing": [step],
    }
    if found.holds:
        made = certificate(found, Recipe.model_validate(data), hashes, " ".join(source))
        data["certificate"] = made.model_dump(mode="json", by_alias=True)
    head = [f"Written by {' '.join(source)}.", found.in_words(), *(f"{r}: {h}" for r, h in hashes.items())]
    return "".join(f"# {line}\n" for line in head) + str(yaml.safe_dump(data, sort_keys=False))


def certificate(found: Certification, recipe: Recipe, hashes: Mapping[str, str], source: str) -> Certificate:
    """For ``edge check``; it lapses with the engines, with the thresholds, and under light that no part tested."""
    counts = found.counts
    assert counts is not None and found.shown is not None
    return Certificate(
        date=datetime.datetime.now(datetime.timezone.utc).date(),
        escape_rate=found.shown,
        confidence=found.confidence,
        method=METHOD,
        tests=1,
        thresholds_tried=found.tried,
        data=CertificationData(
            source=source,
            sha256=found.data_sha256,
            parts=found.parts,
            defective=counts.defective,
            good=counts.good,
            brightness_mean=found.brightness,
        ),
        engines=dict(hashes),
        decides_sha256=decides_hash(recipe.routing, recipe.scores, recipe.retest, recipe.rules),
        steps=(
            CertifiedStep(
                up_to_m_per_s=(MAX_SPEED_M_PER_S,),
                way="gate and classifier" if "classifier" in hashes else "gate alone",
                **asdict(counts),
                escape_upper=found.upper,
            ),
        ),
    )
