"""A picture of a replayed history for people: one strip per tag, the score below, episodes shaded, time along the foot. Plain SVG.

A strip has a vertical stroke from the lowest to the highest value of each column of pixels, so that a million rows keep their
spikes and cost no more than a thousand. `detect.chart` draws the one that can be zoomed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import escape

import numpy as np
from numpy.typing import NDArray

from detect.replay import Replay
from detect.report import iso
from detect.table import History

WIDTH, STRIP, LEFT, GAP, TOP, FOOT = 1200, 90, 170, 10, 46, 56
MAX_STRIPS = 40
_TICKS = 8
_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600,
    2_592_000, 7_776_000, 15_552_000, 31_536_000,
)  # fmt: skip
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.a{fill:#666}.g{stroke:#e4e4e4}.v{stroke:#1f4e79;fill:none;stroke-width:1}"
    ".p{stroke:#7b1fa2;fill:none;stroke-width:1.5;stroke-dasharray:6 3}.m{stroke:#7b1fa2;fill:none;stroke-width:1}"
    ".s{stroke:#7a3b00;fill:none}.t{stroke:#c00;fill:none;stroke-dasharray:4 3}.e{fill:#ffd6d6}.l{fill:#eee}.f{fill:#fff;stroke:#bbb}"
)


def draw(history: History, result: Replay) -> str:
    """The SVG document."""
    order = np.argsort(history.time_us, kind="stable")
    time_us = history.time_us[order].astype(np.float64)
    x = LEFT + (time_us - time_us[0]) / max(time_us[-1] - time_us[0], 1.0) * WIDTH
    strips = min(len(history.tags), MAX_STRIPS)
    foot = TOP + (strips + 1) * (STRIP + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{foot + FOOT}">',
        f"<style>{_STYLE}</style>",
        f'<text x="{LEFT}" y="16">{escape(history.name)}: {iso(int(time_us[0]))} to {iso(int(time_us[-1]))}, '
        f"{len(result.episodes)} episodes, windows of {result.window_s} s</text>",
        *_legend(LEFT, 26, hidden=len(history.tags) - strips),
    ]
    ticks = _ticks(int(time_us[0]), int(time_us[-1]))
    names = [*history.tags[:strips], "score"]
    columns = [*(history.values[order, place] for place in range(strips)), result.score[order]]
    for number, (name, raw) in enumerate(zip(names, columns, strict=True)):
        top = TOP + number * (STRIP + GAP)
        parts += _frame(top, x, time_us, result)
        parts += [f'<path class="g" d="M{_at(us, x, time_us):.1f} {top}V{top + STRIP}"/>' for us, _ in ticks]
        column = np.where(np.isfinite(raw), raw, np.nan)
        known = column[~np.isnan(column)]
        low, high = (
            (0.0, 1.0) if name == "score" else (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        )
        ends = [end for end in result.limits.get(name, ()) if end is not None]
        low, high = min([low, *ends]), max([high, *ends])
        label = f'<text x="{LEFT - 8}" y="{{y}}" text-anchor="end">{{text}}</text>'
        parts.append(label.format(y=top + STRIP // 2 + 4, text=escape(name[:22])))
        parts += [label.format(y=y, text=f"{value:.4g}") for y, value in ((top + 12, high), (top + STRIP - 2, low))]
        kind = "s" if name == "score" else "v"
        parts.append(f'<path class="{kind}" d="{_path(x, column, low, high, top)}"/>')
        if ends:
            parts += _forecasts(name, ends, result, x, time_us, low, high, top)
    parts.append(f'<path class="t" d="{_path(x, result.threshold[order], 0.0, 1.0, foot - STRIP - GAP)}"/>')
    for us, text in ticks:
        parts.append(f'<text class="a" x="{_at(us, x, time_us):.1f}" y="{foot + 8}" text-anchor="middle">{text}</text>')
    parts.append(f'<text class="a" x="{LEFT + WIDTH}" y="{foot + 30}" text-anchor="end">time, UTC</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(x: int, y: int, *, hidden: int) -> list[str]:
    parts: list[str] = []
    for kind, text in (("e", "episode"), ("l", "learning, not scored")):
        parts.append(
            f'<rect class="{kind}" x="{x}" y="{y}" width="18" height="12"/><text x="{x + 24}" y="{y + 10}">{text}</text>'
        )
        x += 40 + 7 * len(text)
    parts.append(
        f'<path class="t" d="M{x} {y + 6}H{x + 18}"/><text x="{x + 24}" y="{y + 10}">threshold of the score</text>'
    )
    if hidden:
        parts.append(f'<text x="{x + 200}" y="{y + 10}">{hidden} more tags are not drawn</text>')
    return parts


def _ticks(start_us: int, end_us: int) -> list[tuple[int, str]]:
    """At most `_TICKS` round moments of the range, each with its label: the clock, and the date where a day begins."""
    span_s = (end_us - start_us) / 1e6
    step_s = next((step for step in _STEPS_S if span_s / step <= _TICKS), _STEPS_S[-1])
    step_us = step_s * 1_000_000
    found: list[tuple[int, str]] = []
    last_day = ""
    for us in range(-(-start_us // step_us) * step_us, end_us + 1, step_us):
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
        day = f"{moment:%Y-%m-%d}"
        clock = f"{moment:%H:%M:%S}" if step_s < 60 else f"{moment:%H:%M}"
        found.append((us, day if step_s >= 86_400 else clock if day == last_day else f"{day} {clock}"))
        last_day = day
    return found


def _at(us: float, x: NDArray[np.float64], time_us: NDArray[np.float64]) -> float:
    return float(np.interp(us, time_us, x))


def _frame(top: int, x: NDArray[np.float64], time_us: NDArray[np.float64], result: Replay) -> list[str]:
    parts = [f'<rect class="f" x="{LEFT}" y="{top}" width="{WIDTH}" height="{STRIP}"/>']
    learned = _at(result.learning_until_us, x, time_us)
    parts.append(f'<rect class="l" x="{LEFT}" y="{top}" width="{learned - LEFT:.1f}" height="{STRIP}"/>')
    for each in result.episodes:
        start, end = (
            _at(us, x, time_us) for us in (each.start_us, time_us[-1] if each.end_us is None else each.end_us)
        )
        parts.append(
            f'<rect class="e" x="{start:.1f}" y="{top}" width="{max(end - start, 1.5):.1f}" height="{STRIP}"/>'
        )
    return parts


def _forecasts(
    name: str,
    ends: list[float],
    result: Replay,
    x: NDArray[np.float64],
    time_us: NDArray[np.float64],
    low: float,
    high: float,
    top: int,
) -> list[str]:
    """The limits of a tag, and a line from where its trend was to where it was said to reach one."""

    def height(value: float) -> float:
        return top + STRIP - 3 - (value - low) / max(high - low, 1e-300) * (STRIP - 6)

    parts = [f'<path class="m" d="M{LEFT} {height(end):.1f}H{LEFT + WIDTH}"/>' for end in ends]
    for each in result.forecasts:
        for one in each.steps if each.tag == name else ():
            seen_us = min(one.likely_us, time_us[-1])
            share = (seen_us - one.as_of_us) / max(one.likely_us - one.as_of_us, 1)
            level = min(max(one.level, low), high)
            reached = level + share * (each.limit - level)
            parts.append(
                f'<path class="p" d="M{_at(one.as_of_us, x, time_us):.1f} {height(level):.1f}'
                f'L{_at(seen_us, x, time_us):.1f} {height(reached):.1f}"/>'
            )
    return parts


def _path(x: NDArray[np.float64], column: NDArray[np.float64], low: float, high: float, top: int) -> str:
    """Strokes of the column, at most one per pixel."""
    known = np.flatnonzero(np.isfinite(column))
    if not len(known):
        return ""
    pixel = x[known].astype(np.int64)
    y = top + STRIP - 3 - (column[known] - low) / max(high - low, 1e-300) * (STRIP - 6)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(pixel)) + 1))
    least, most = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    points: list[str] = []
    for at, start in enumerate(starts.tolist()):
        points.append(f"{'L' if at else 'M'}{pixel[start]} {y[start]:.1f}V{least[at]:.1f}V{most[at]:.1f}")
    return "".join(points)
