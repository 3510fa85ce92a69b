"""The certificate of a recipe: on which data, with which engines, its escape rate was bounded."""

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from edge.inspection.rules import RuleSettings
from edge.inspection.settings import ExposureSettings, RetestSettings, RoutingStep, ScoreSettings
from edge.settings import Settings

LIGHT_TOLERANCE = 1.2
"""The guard may let through frames that are a quarter of a stop darker or brighter than certified."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class CertificationData(Settings):
    """The parts that were looked at; none of them was used to train, to fit or to choose."""

    source: str = Field(description="Where they came from: the command, or the manifest's name.")
    sha256: Sha256 = Field(description="Of truth and scores of all parts, in order.")
    parts: int = Field(ge=1)
    defective: int = Field(ge=0)
    good: int = Field(ge=0)
    brightness_mean: tuple[float, float] = Field(
        description="Darkest and brightest frame that the guard let through, mean grey level."
    )


class CertifiedStep(Settings):
    """Raw counts of one way to decide, at the thresholds of one or more steps."""

    up_to_m_per_s: tuple[float, ...] = Field(
        description="The steps of the routing table that this holds for."
    )
    way: Literal["gate and classifier", "gate alone"]
    defective: int = Field(ge=0)
    escapes: int = Field(ge=0, description="Defective parts that were not rejected.")
    good: int = Field(ge=0)
    overkills: int = Field(ge=0, description="Good parts that were rejected.")
    escape_upper: Share = Field(description="Clopper-Pearson upper bound at 1 - (1 - confidence) / tests.")


class Certificate(Settings):
    """Escape rate ≤ ``escape_rate`` for every step at once, with ``confidence``."""

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Literal[1] = Field(1, alias="schema")
    date: datetime.date
    escape_rate: Share
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    method: str
    tests: int = Field(
        ge=1, description="Sequences of thresholds tried; the confidence is split between them."
    )
    thresholds_tried: int = Field(ge=1)
    data: CertificationData
    engines: dict[str, Sha256] = Field(description="Role → SHA-256 of the model.")
    decides_sha256: Sha256 = Field(description="Of everything in the recipe that decides; see decides_hash.")
    steps: tuple[CertifiedStep, ...] = Field(min_length=1)


def decides_hash(
    routing: Sequence[RoutingStep], scores: ScoreSettings, retest: RetestSettings, rules: RuleSettings
) -> str:
    """SHA-256 of the thresholds and of all that changes what they do; expectations do not count."""
    content = {
        "routing": [step.model_dump(exclude={"expected"}) for step in routing],
        "scores": scores.model_dump(),
        "retest": retest.model_dump(),
        "rules": rules.model_dump(by_alias=True),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def mismatches(
    certificate: Certificate, engines: Mapping[str, str], decides: str, exposure: ExposureSettings
) -> list[str]:
    """One sentence for each thing that is not what was certified; none: the certificate holds."""
    found = []
    for role in sorted(certificate.engines.keys() | engines.keys()):
        now, then = engines.get(role), certificate.engines.get(role)
        if now != then:
            found.append(f"{role}: certified was {_short(then)}, loaded is {_short(now)}")
    if decides != certificate.decides_sha256:
        found.append("thresholds, scores, retest or rules were changed after the certification")
    low, high = certificate.data.brightness_mean
    if exposure.min_mean < low / LIGHT_TOLERANCE:
        found.append(
            f"exposure.min_mean {exposure.min_mean:g} lets darker frames through than certified ({low:.0f})"
        )
    if exposure.max_mean > high * LIGHT_TOLERANCE:
        found.append(
            f"exposure.max_mean {exposure.max_mean:g} lets brighter frames through than certified ({high:.0f})"
        )
    return found


HOLDS = "holds"
NONE = "none"


def certificate_state(
    certificate: Certificate | None, engines: Mapping[str, str], decides: str, exposure: ExposureSettings
) -> str:
    """``none``, ``holds``, or ``does not hold: …`` with everything that differs."""
    if certificate is None:
        return NONE
    found = mismatches(certificate, engines, decides, exposure)
    return f"does not hold: {'; '.join(found)}" if found else HOLDS


def describe(certificate: Certificate) -> str:
    """The claim in one sentence."""
    worst = max(certificate.steps, key=lambda step: step.escape_upper)
    return (
        f"escape rate ≤ {100 * certificate.escape_rate:g} % at {100 * certificate.confidence:g} % confidence "
        f"({worst.escapes} escapes of {worst.defective} defective parts, {certificate.data.source}, {certificate.date})"
    )


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]
