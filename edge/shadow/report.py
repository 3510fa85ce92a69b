"""What a shadow run found: JSON for machines, and one page with the pictures for people."""

import html
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from edge.settings import Settings
from edge.shadow.agreement import Agreement, Claim
from edge.shadow.candidate import Candidate
from edge.shadow.follow import Seen
from edge.shadow.kept import Disagreement, Kept

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class ShadowReport(Settings):
    """Counts of parts; the candidate's own are what a watch later holds the line against."""

    schema_version: Literal[1] = 1
    line: str
    candidate: dict[str, str] = Field(description="Role → SHA-256 of the model.")
    parts: Count
    softer_allowed: Share
    harder_allowed: Share
    confidence: Share
    kinds: dict[str, Count]
    table: tuple[tuple[str, str, Count], ...] = Field(description="Line, candidate, parts.")
    said_by_line: dict[str, Count]
    said_by_candidate: dict[str, Count]
    invalid: Count
    skipped: Count
    not_judged: Count
    overwritten: Count
    overruns_of_the_line: Count = Field(description="While the shadow ran, whatever their cause.")
    brightness_range: tuple[float, float] | None = Field(
        description="Mean grey level of all compared parts but one in a hundred on each side."
    )
    brightness_outside: Count = Field(description="Compared parts outside of it.")
    gate_ms_p50: float | None
    classifier_ms_p50: float | None
    refused: tuple[str, ...] = Field(description="Empty: passed.")


def make_report(
    line: str, candidate: Candidate, agreement: Agreement, seen: Seen, claim: Claim
) -> ShadowReport:
    """All that is known when the run ends."""
    light = np.array(seen.brightness)
    low_high = tuple(map(float, np.quantile(light, (0.01, 0.99)))) if len(light) else None
    outside = int(((light < low_high[0]) | (light > low_high[1])).sum()) if low_high else 0
    gate_ms, classifier_ms = (
        round(float(np.median(ms)), 4) if ms else None for ms in (candidate.gate_ms, candidate.classifier_ms)
    )
    return ShadowReport(
        line=line,
        candidate=candidate.hashes,
        parts=agreement.parts,
        softer_allowed=claim.softer,
        harder_allowed=claim.harder,
        confidence=claim.confidence,
        kinds={kind.value: count for kind, count in agreement.kinds.items()},
        table=tuple((a, b, n) for (a, b), n in agreement.table.most_common()),
        said_by_line=dict(agreement.line),
        said_by_candidate=dict(agreement.candidate),
        invalid=agreement.invalid,
        skipped=seen.skipped,
        not_judged=seen.not_judged,
        overwritten=seen.overwritten,
        overruns_of_the_line=seen.overruns,
        brightness_range=(low_high[0], low_high[1]) if low_high else None,
        brightness_outside=outside,
        gate_ms_p50=gate_ms,
        classifier_ms_p50=classifier_ms,
        refused=agreement.refused(claim),
    )


def as_html(report: ShadowReport, kept: Kept) -> str:
    """One page; pictures lie beside it."""
    state = "passed" if not report.refused else "not passed"
    rows = "".join(f"<tr><td>{_e(a)}<td>{_e(b)}<td>{n}" for a, b, n in report.table)
    why = "".join(f"<li>{_e(text)}" for text in report.refused)
    left = ", ".join(f"{n} {kind}" for kind, n in kept.left_out.items() if n) or "none"
    return (
        '<!doctype html><meta charset="utf-8"><title>Shadow run</title>'
        "<style>body{font:16px sans-serif;margin:2em}td,th{padding:.2em 1em;text-align:left}"
        "figure{display:inline-block;margin:.5em}img{width:15em}</style>"
        f"<h1>Shadow run on line {_e(report.line)}: {state}</h1><ul>{why}</ul>"
        f"<p>{report.parts} parts compared; {report.skipped} skipped, {report.not_judged} not judged by the line, "
        f"{report.overwritten} overwritten; {report.overruns_of_the_line} overruns of the line meanwhile.</p>"
        f"<table><tr><th>line<th>candidate<th>parts{rows}</table>"
        f"<h2>Disagreements</h2><p>Without a picture: {_e(left)}.</p>{''.join(map(_figure, kept.held))}"
    )


def _figure(item: Disagreement) -> str:
    text = f"part {item.part_id}, {item.kind}: line {item.line}, candidate {item.candidate}"
    return (
        f'<figure><img src="pictures/{_e(item.picture)}" alt=""><figcaption>{_e(text)}</figcaption></figure>'
    )


def _e(text: str) -> str:
    return html.escape(text)
