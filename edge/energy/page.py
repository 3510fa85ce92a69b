"""The comparison as one HTML page that needs nothing else."""

from html import escape

from edge.energy.report import FIGURES, EnergyReport
from edge.profile.page import document
from edge.profile.pictures import bars


def page(report: EnergyReport) -> str:
    """HTML."""
    facts = (
        f"{report.host}, {report.at}, edge {report.version}, camera {report.source}, {report.m_per_s:g} m/s, "
        f"rails {', '.join(report.rails)}"
    )
    held = (
        f'<p class="bad">Clocks held down: {escape("; ".join(report.throttled))}</p>'
        if report.throttled
        else ""
    )
    pictures = "".join(_figure(report, key, title) for key, title in FIGURES.items())
    body = f"<h1>Energy of a part</h1><p>{escape(facts)}</p>{held}{pictures}{_runs(report)}"
    return document(f"Energy of a part: line {report.line}", body)


def _figure(report: EnergyReport, key: str, title: str) -> str:
    rows = [(arm, spans[key].median, spans[key].max) for arm, spans in report.arms.items()]
    told = "; ".join(
        f"{one.arm} over {one.over} {one.ratio.median:.3f} ({one.ratio.min:.3f} to {one.ratio.max:.3f})"
        for one in report.ratios
        if one.figure == key
    )
    return f"<h2>{escape(title)}</h2><p>Blue: median; amber: up to the most. {escape(told)}</p>{bars(title, rows, 'J')}"


def _runs(report: EnergyReport) -> str:
    heads = ("run", "parts", "W", "W at rest", "engines, ms", *FIGURES.values(), "late", "verdicts")
    rows = []
    for run in report.runs:
        numbers = (run.watts, run.rest_watts, run.engine_ms, *(getattr(run, key) for key in FIGURES))
        cells = "".join(f"<td>{value:.3f}</td>" for value in numbers)
        verdicts = ", ".join(f"{name} {count}" for name, count in sorted(run.verdicts.items()))
        rows.append(
            f"<tr><td>{escape(run.arm)}</td><td>{run.parts}</td>{cells}<td>{run.late}</td><td>{escape(verdicts)}</td></tr>"
        )
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    return f'<h2>Runs</h2><div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
