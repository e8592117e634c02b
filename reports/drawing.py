"""Drawings of the page as inline SVG: shares of time, a Pareto chart, OEE by the step, small bars.

Enters: numbers and texts. Leaves: SVG, escaped. Colours differ in lightness and stand beside a pattern, so that they can be told apart in
grey and by people who see few colours; they are classes of the page's style.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WHOLE_LABEL, _LEAST_LABEL = 0.2, 0.05
"""Shares of a bar in which the whole text, or a short one, has room."""


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a bar; `kind` is the class of its style."""

    kind: str
    value: float
    label: str
    text: str
    short: str


def stacked(parts: Sequence[Part], width: int = 700, height: int = 30) -> Markup:
    """One bar of all parts, each with its text where it fits."""
    whole = sum(part.value for part in parts) or 1.0
    at, shapes = 0.0, []
    for part in parts:
        size = part.value / whole * width
        shapes.append(_bar(at, 0, size, height, part.kind, f"{part.label}: {part.text}"))
        share = part.value / whole
        text = part.text if share >= _WHOLE_LABEL else part.short if share >= _LEAST_LABEL else ""
        if text:
            shapes.append(_text(at + size / 2, height / 2 + 4, text, f"on-{part.kind} middle"))
        at += size
    return _svg(width, height, shapes, ", ".join(f"{part.label} {part.text}" for part in parts))


def small(value: float | None, kind: str = "good", width: int = 60, height: int = 8) -> Markup:
    """A bar from 0 to 1."""
    shapes = [_bar(0, 0, width, height, "track")]
    if value is not None:
        shapes.append(_bar(0, 0, min(max(value, 0.0), 1.0) * width, height, kind))
    return _svg(width, height, shapes, "")


def progress(done: float, planned: float, width: int = 160, height: int = 9) -> Markup:
    """What was made against the plan: a mark where the plan is."""
    whole = max(done, planned) or 1.0
    at = planned / whole * width
    shapes = [
        _bar(0, 1, width, height - 2, "track"),
        _bar(0, 1, done / whole * width, height - 2, "good"),
        Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}" class="mark"/>').format(at, height),
    ]
    return _svg(width, height, shapes, "")


def pareto(rows: Sequence[tuple[str, float, str, bool]], whole: float, width: int = 340) -> Markup:
    """Rows of label, value, text, planned: bars by size, and the line of their cumulative share."""
    step, left, right = 21, 122, 84
    most = max((value for _, value, *_ in rows), default=0.0) or 1.0
    room = width - left - right
    shapes, points, total = [], [], 0.0
    for place, (label, value, text, planned) in enumerate(rows):
        y = place * step
        total += value
        shapes.append(_text(left - 8, y + 15, _cut(label, 20), "label end"))
        shapes.append(
            _bar(left, y + 4, value / most * room, 14, "planned" if planned else "stopped", f"{label}: {text}")
        )
        shapes.append(_text(width, y + 15, text, "value end"))
        points.append((left + total / (whole or 1.0) * room, y + 11))
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    shapes.append(Markup('<polyline points="{}" class="cumulative"/>').format(drawn))
    shapes += [Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.2" class="dot"/>').format(x, y) for x, y in points]
    return _svg(width, max(len(rows), 1) * step, shapes, ", ".join(f"{label} {text}" for label, _, text, _ in rows))


def columns(steps: Sequence[tuple[str, float | None, str]], width: int = 340, height: int = 150) -> Markup:
    """Columns from 0 to 1 with a label below and a text above each."""
    left, bottom, top = 26, 18, 14
    room = height - bottom - top
    shapes = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + room * (1 - share)
        shapes.append(Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" class="grid"/>').format(left, width, y, y))
        if share in {0.0, 0.5, 1.0}:
            shapes.append(_text(left - 4, y + 3, f"{share * 100:.0f}", "tick end"))
    pitch = (width - left) / max(len(steps), 1)
    bar = min(pitch * 0.7, 34)
    every = max(1, round(26 / pitch))
    for place, (label, value, text) in enumerate(steps):
        x = left + pitch * (place + 0.5)
        if value is not None:
            high = min(max(value, 0.0), 1.0) * room
            shapes.append(_bar(x - bar / 2, top + room - high, bar, high, "good", f"{label}: {text}"))
            if pitch >= 24:
                shapes.append(_text(x, top + room - high - 3, text, "value middle"))
        else:
            shapes.append(_text(x, top + room - 4, text, "tick middle"))
        if place % every == 0:
            shapes.append(_text(x, height - 5, label, "tick middle"))
    return _svg(width, height, shapes, ", ".join(f"{label} {text}" for label, _, text in steps))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _bar(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> Markup:
    shape = '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"'
    values = (x, y, max(width, 0.0), height, f"bar-{kind}")
    return (
        Markup(shape + "><title>{}</title></rect>").format(*values, title)
        if title
        else Markup(shape + "/>").format(*values)
    )


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>').format(x, y, kind, text)


def _svg(width: float, height: float, shapes: Sequence[Markup], label: str) -> Markup:
    role = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup('<svg viewBox="0 0 {} {}" {}>{}</svg>').format(
        width, height, role, Markup("").join(map(escape, shapes))
    )
