"""Small pictures as SVG text, drawn with the colours of the page around them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 34


@dataclass(frozen=True)
class Curve:
    """Points in units of the axes; ``style``: a class of the page."""

    name: str
    points: Sequence[tuple[float, float]]
    style: str
    dots: bool = False


@dataclass(frozen=True)
class Axes:
    """Ranges and captions."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_title: str
    y_title: str

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels."""
        (x0, x1), (y0, y1) = self.x, self.y
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * (x - x0) / ((x1 - x0) or 1),
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (min(y, y1) - y0) / ((y1 - y0) or 1),
        )


def chart(title: str, axes: Axes, curves: Sequence[Curve]) -> str:
    """Lines or dots over two axes, with a legend."""
    parts = [_open(title), _frame(axes)]
    for number, curve in enumerate(curves):
        places = [axes.at(x, y) for x, y in curve.points]
        if curve.dots:
            parts += [f'<circle class="{curve.style}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in places]
        elif places:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline class="{curve.style}" points="{path}"/>')
        y = TOP + 12 + 14 * number
        parts.append(
            f'<text class="legend {curve.style}" x="{WIDTH - RIGHT - 4}" y="{y}">{escape(curve.name)}</text>'
        )
    return "".join([*parts, "</svg>"])


def bars(title: str, rows: Sequence[tuple[str, float, float]], unit: str) -> str:
    """(name, usual, tail) as two bars a row."""
    height = 28 * len(rows) + 30
    most = max((tail for _, _, tail in rows), default=1.0) or 1.0
    left = 150
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>']
    for number, (name, usual, tail) in enumerate(rows):
        y = 6 + 28 * number
        scale = (WIDTH - left - 90) / most
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="tail" x="{left}" y="{y + 4}" width="{tail * scale:.1f}" height="14"/>')
        parts.append(f'<rect class="usual" x="{left}" y="{y + 4}" width="{usual * scale:.1f}" height="14"/>')
        text = f"{usual:.3g} / {tail:.3g} {unit}"
        parts.append(f'<text x="{left + tail * scale + 6:.1f}" y="{y + 15}">{text}</text>')
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step)
    return [round(index * step, 10) for index in range(first, math.floor(high / step) + 1)]


def _open(title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>'


def _frame(axes: Axes) -> str:
    parts = []
    for value in ticks(*axes.y):
        _, y = axes.at(axes.x[0], value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(*axes.x):
        x, _ = axes.at(value, axes.y[0])
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(axes.x_title)}</text>')
    parts.append(f'<text x="{LEFT + 4}" y="{TOP + 12}">{escape(axes.y_title)}</text>')
    return "".join(parts)
