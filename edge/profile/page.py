"""The report as one HTML page that needs nothing else: opened from a stick as well as from a server."""

from collections.abc import Sequence
from html import escape

from edge.profile.pictures import Axes, Curve, bars, chart
from edge.profile.report import ProfileReport, Spread
from edge.profile.stages import Record, latency_ns

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2429;--back:#fff;--soft:#6b7780;--grid:#dde3e7;--blue:#1f6fb2;--red:#c0392b;
--amber:#d18f1f}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ec;--back:#15191c;--soft:#96a2aa;--grid:#2c343a;--blue:#64b0ee;
--red:#f0806f;--amber:#e8b558}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:52rem;margin:0 auto;
padding:1rem}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .3rem}p{margin:.3rem 0;color:var(--soft)}
.answer{font-size:1.15rem;color:var(--ink)}.bad{color:var(--red)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:right;padding:.15rem .5rem;
border-bottom:1px solid var(--grid)}th:first-child,td:first-child{text-align:left}.scroll{overflow-x:auto}
svg{width:100%;height:auto;display:block}svg text{font-size:11px;fill:var(--soft)}.grid{stroke:var(--grid)}
polyline{fill:none;stroke-width:2}.usual{stroke:var(--blue);fill:var(--blue)}.tail{stroke:var(--amber);fill:var(--amber)}
.limit{stroke:var(--red);fill:var(--red)}polyline.usual,polyline.tail,polyline.limit{fill:none}
polyline.limit{stroke-dasharray:5 4}rect{stroke:none!important}text.legend{text-anchor:end;stroke:none}
"""


def page(report: ProfileReport, records: Sequence[Record]) -> str:
    """HTML."""
    sections = [_head(report), _stages(report), _latencies(report, records), _overruns(report)]
    sections += [_throttling(report), _warm_up(report), _sweep(report), _gaps(report), _machine(report)]
    return document(f"Profile of line {report.line}", "".join(sections))


def document(title: str, body: str) -> str:
    """A whole page around ``body``, which is HTML; ``title`` is plain text."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
        f'initial-scale=1"><title>{escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n'
    )


def _head(report: ProfileReport) -> str:
    latency = report.latency_ms
    if latency is None:
        answer = '<p class="answer bad">No part reached the PLC.</p>'
    else:
        late = report.overruns.late + report.overruns.no_time
        text = (
            f"{report.parts} parts at {report.m_per_s:g} m/s: p99.9 {latency.p99_9:.2f} ms of {report.budget_ms:g} ms, "
            f"{report.overruns.late} late, {report.overruns.no_time} without time for a look"
        )
        answer = f'<p class="answer{" bad" if late else ""}">{text}.</p>'
    speed = report.max_speed_m_per_s
    more = f"<p>Highest speed of the sweep that holds: {speed:g} m/s.</p>" if speed else ""
    facts = f"{escape(report.host)}, {report.at}, edge {report.version}, camera {escape(report.source)}"
    return f"<h1>Line {escape(report.line)}</h1><p>{facts}</p>{answer}{more}"


def _stages(report: ProfileReport) -> str:
    rows = [(name.replace("_", " "), found.p50, found.p99) for name, found in report.stages.items()]
    cells = "".join(_row(name, found) for name, found in report.stages.items())
    if report.latency_ms:
        cells += _row("latency", report.latency_ms)
    head = "<tr><th>stage, ms</th><th>parts</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>"
    return (
        f"<h2>Stages</h2><p>Blue: median; amber: up to p99.</p>{bars('Stages', rows, 'ms')}"
        f'<div class="scroll"><table>{head}{cells}</table></div>'
    )


def _row(name: str, found: Spread) -> str:
    values = "".join(
        f"<td>{value:.3f}</td>" for value in (found.p50, found.p90, found.p99, found.p99_9, found.max)
    )
    return f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{found.parts}</td>{values}</tr>"


def _latencies(report: ProfileReport, records: Sequence[Record]) -> str:
    points = [
        (float(number), latency / 1e6)
        for number, record in enumerate(records, 1)
        if (latency := latency_ns(record)) is not None
    ]
    if not points:
        return ""
    top = 1.15 * max([report.budget_ms, *(y for _, y in points)])
    axes = Axes((0, len(records)), (0, top), "part", "latency, ms")
    budget = Curve("budget", [(0, report.budget_ms), (len(records), report.budget_ms)], "limit")
    return "<h2>Every part</h2>" + chart(
        "Latency of every part", axes, [Curve("parts", points, "usual", True), budget]
    )


def _overruns(report: ProfileReport) -> str:
    found = report.overruns
    title = "Late parts" if found.late else "Slowest parts"
    rows = "".join(
        f"<tr><td>{part.part_id}</td><td>{'–' if part.latency_ms is None else f'{part.latency_ms:.2f}'}</td>"
        f"<td>{escape(part.stage.replace('_', ' '))}</td><td>{part.beyond_ms:.2f}</td>"
        f"<td>{escape('; '.join(part.causes)) or 'nothing that shows'}</td></tr>"
        for part in found.worst
    )
    columns = ("part", "latency, ms", "stage", "beyond usual, ms", "the machine meanwhile")
    head = f"<tr>{''.join(f'<th>{column}</th>' for column in columns)}</tr>"
    return f'<h2>{title}</h2><div class="scroll"><table>{head}{rows}</table></div>'


def _throttling(report: ProfileReport) -> str:
    found = report.throttling
    if found is None or found.held_ms is None:
        return ""
    cells = _row("clocks held down", found.held_ms) + (_row("free", found.free_ms) if found.free_ms else "")
    causes = "; ".join(f"{escape(name)}: {parts} parts" for name, parts in found.parts_by_cause.items())
    head = "<tr><th>latency, ms</th><th>parts</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>"
    return f'<h2>Clocks held down</h2><p>{causes}</p><div class="scroll"><table>{head}{cells}</table></div>'


def _warm_up(report: ProfileReport) -> str:
    if not report.warm_up_ms:
        return ""
    points = [(float(number), value) for number, value in enumerate(report.warm_up_ms, 1)]
    axes = Axes((1, len(points)), (0, 1.15 * max(report.warm_up_ms)), "part after the start", "latency, ms")
    return "<h2>Warm-up</h2>" + chart("Warm-up", axes, [Curve("latency", points, "usual")])


def _sweep(report: ProfileReport) -> str:
    steps = report.sweep
    if not steps:
        return ""
    top = 1.1 * max(max(step.latency_ms.p99_9, step.budget_ms) for step in steps)
    axes = Axes((0, 1.05 * max(step.m_per_s for step in steps)), (0, top), "belt, m/s", "ms")
    curves = [
        Curve("p50", [(step.m_per_s, step.latency_ms.p50) for step in steps], "usual"),
        Curve("p99.9", [(step.m_per_s, step.latency_ms.p99_9) for step in steps], "tail"),
        Curve("budget", [(step.m_per_s, step.budget_ms) for step in steps], "limit"),
    ]
    rows = "".join(
        f"<tr><td>{step.m_per_s:g}</td><td>{step.parts}</td><td>{step.budget_ms:.2f}</td>"
        f"<td>{step.latency_ms.p50:.2f}</td><td>{step.latency_ms.p99_9:.2f}</td><td>{step.late}</td>"
        f"<td>{step.no_time}</td><td>{'yes' if step.holds else 'no'}</td></tr>"
        for step in steps
    )
    head = (
        "<tr><th>m/s</th><th>parts</th><th>budget</th><th>p50</th><th>p99.9</th><th>late</th><th>no time</th>"
        "<th>holds</th></tr>"
    )
    table = f'<div class="scroll"><table>{head}{rows}</table></div>'
    return f"<h2>Speeds</h2>{chart('Speeds', axes, curves)}{table}"


def _gaps(report: ProfileReport) -> str:
    if not report.idle_gap:
        return ""
    rows = "".join(
        f"<tr><td>{gap.gap_s:g} s</td><td>{gap.latency_ms:.2f}</td><td>{gap.usual_p50_ms:.2f}</td></tr>"
        for gap in report.idle_gap
    )
    head = "<tr><th>rest before the part</th><th>its latency, ms</th><th>usual, ms</th></tr>"
    return f"<h2>After a rest</h2><table>{head}{rows}</table>"


def _machine(report: ProfileReport) -> str:
    machine = report.machine
    if machine is None:
        return ""
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{'–' if value is None else f'{value:g}'}</td></tr>"
        for name, value in machine.model_dump().items()
    )
    return f"<h2>The loop's thread and the machine</h2><table>{rows}</table>"
