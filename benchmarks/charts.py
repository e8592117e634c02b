"""Charts as inline SVG: lines over time, bars, histograms on a logarithmic scale. Pure; the report puts them on its page.

Colours come from the page's style sheet (classes s0 to s9), so a chart follows the reader's light or dark setting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

SERIES = 10
"""Colours there are; more series take them again from the first."""
_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 36
_ROW = 22


def lines(series: Mapping[str, Points], *, unit: str, marks: Sequence[tuple[float, str]] = ()) -> str:
    """Values over seconds; `marks` are vertical lines with a label."""
    points = [point for one in series.values() for point in one]
    if not points:
        return ""
    x_high = max([x for x, _ in points] + [x for x, _ in marks]) or 1.0
    y_step, y_high = _scale(max(y for _, y in points))
    x_step, _ = _scale(x_high)

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + x / x_high * (_WIDTH - _LEFT - _RIGHT)
        return across, _HEIGHT - _BOTTOM - max(0.0, y) / y_high * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in _ticks(y_step, y_high):
        _, y = place(0, tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{si(tick)}</text>')
    for tick in _ticks(x_step, x_high):
        x, _ = place(tick, 0)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    for at, label in marks:
        x, _ = place(at, 0)
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}">'
            f"<title>{escape(label)}, {at:.1f} s</title></line>"
        )
    for number, (name, one) in enumerate(series.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in one))
        parts.append(
            f'<polyline class="line s{number % SERIES}" points="{path}"><title>{escape(name)}</title></polyline>'
        )
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">seconds</text>')
    parts.append(f'<text x="4" y="{_HEIGHT - 4}">{escape(unit)}</text>')
    return _svg(_HEIGHT, parts) + _legend(list(series))


def bars(values: Mapping[str, float], *, unit: str) -> str:
    """One bar a row, with its value."""
    if not values:
        return ""
    longest = max([1e-9, *values.values()])
    parts = []
    for row, (name, value) in enumerate(values.items()):
        y, width = row * _ROW + 4, max(0.0, value) / longest * 420
        parts.append(f'<text x="176" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar s0" x="184" y="{y}" width="{width:.1f}" height="{_ROW - 6}"/>')
        parts.append(f'<text x="{190 + width:.1f}" y="{y + 13}">{value:.3g} {escape(unit)}</text>')
    return _svg(len(values) * _ROW + 8, parts)


def histogram(edges: Sequence[float], counts: Sequence[int], *, unit: str, number: int = 0) -> str:
    """Counts between edges that are drawn equally wide: the scale is logarithmic as the edges are."""
    if not counts:
        return ""
    _, high = _scale(max(counts))
    width = (_WIDTH - _LEFT - _RIGHT) / len(counts)
    floor = _HEIGHT - _BOTTOM
    parts = [f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>']
    labelled = max(1, math.ceil(len(edges) / 12))
    for place, count in enumerate(counts):
        height = count / high * (floor - _TOP)
        x = _LEFT + place * width
        parts.append(
            f'<rect class="bar s{number % SERIES}" x="{x + 1:.1f}" y="{floor - height:.1f}" width="{max(1.0, width - 2):.1f}" '
            f'height="{height:.1f}"><title>{edges[place]:.3g} to {edges[place + 1]:.3g} {escape(unit)}: {count}</title></rect>'
        )
    for place, edge in enumerate(edges):
        if place % labelled == 0:
            x = _LEFT + place * width
            parts.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{edge:.3g}</text>')
    parts.append(f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{si(high)}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{escape(unit)}</text>')
    return _svg(_HEIGHT, parts)


def si(value: float) -> str:
    """Number as people read it: 1.2 M, 340 K, 12."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:.3g}"


def _scale(highest: float) -> tuple[float, float]:
    """Step between ticks (1, 2 or 5 times a power of ten, four to eight of them), and the top of the axis."""
    highest = highest if highest > 0 and math.isfinite(highest) else 1.0
    power = 10 ** math.floor(math.log10(highest / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if highest / (power * factor) <= 8)
    return step, math.ceil(highest / step - 1e-9) * step


def _ticks(step: float, high: float) -> list[float]:
    return [step * number for number in range(int(high / step + 1e-9) + 1)]


def _svg(height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{"".join(parts)}</svg>'


def _legend(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    items = "".join(
        f'<span><i class="key s{number % SERIES}"></i>{escape(name)}</span>' for number, name in enumerate(names)
    )
    return f'<p class="legend">{items}</p>'
