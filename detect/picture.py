"""A picture of a replayed history for people: one strip per tag, the score below, episodes shaded. Plain SVG, no library.

A strip has a vertical stroke from the lowest to the highest value of each column of pixels, so that a million rows keep their
spikes and cost no more than a thousand.
"""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from detect.replay import Replay
from detect.report import iso
from detect.table import History

WIDTH, STRIP, LEFT, GAP = 1200, 90, 170, 10
MAX_STRIPS = 40
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.v{stroke:#1f4e79;fill:none;stroke-width:1}.s{stroke:#7a3b00;fill:none}"
    ".t{stroke:#c00;fill:none;stroke-dasharray:4 3}.e{fill:#ffd6d6}.l{fill:#eee}.f{fill:#fff;stroke:#bbb}"
)


def draw(history: History, result: Replay) -> str:
    """The SVG document."""
    order = np.argsort(history.time_us, kind="stable")
    time_us = history.time_us[order].astype(np.float64)
    x = LEFT + (time_us - time_us[0]) / max(time_us[-1] - time_us[0], 1.0) * WIDTH
    strips = min(len(history.tags), MAX_STRIPS)
    height = (strips + 1) * (STRIP + GAP) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<text x="{LEFT}" y="16">{escape(history.name)}: {iso(int(time_us[0]))} to {iso(int(time_us[-1]))}, '
        f"{len(result.episodes)} episodes, windows of {result.window_s} s; grey: learning</text>",
    ]
    names = [*history.tags[:strips], "score"]
    columns = [*(history.values[order, place] for place in range(strips)), result.score[order]]
    for number, (name, column) in enumerate(zip(names, columns, strict=True)):
        top = 28 + number * (STRIP + GAP)
        parts += _frame(top, x, time_us, result)
        known = column[~np.isnan(column)]
        low, high = (
            (0.0, 1.0) if name == "score" else (float(known.min()), float(known.max())) if len(known) else (0, 1)
        )
        label = f'<text x="{LEFT - 8}" y="{{y}}" text-anchor="end">{{text}}</text>'
        parts.append(label.format(y=top + STRIP // 2 + 4, text=escape(name[:22])))
        parts += [label.format(y=y, text=f"{value:.4g}") for y, value in ((top + 12, high), (top + STRIP - 2, low))]
        kind = "s" if name == "score" else "v"
        parts.append(f'<path class="{kind}" d="{_path(x, column, low, high, top)}"/>')
    parts.append(f'<path class="t" d="{_path(x, result.threshold[order], 0.0, 1.0, top)}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _frame(top: int, x: NDArray[np.float64], time_us: NDArray[np.float64], result: Replay) -> list[str]:
    def place(at_us: float) -> float:
        return float(np.interp(at_us, time_us, x))

    parts = [f'<rect class="f" x="{LEFT}" y="{top}" width="{WIDTH}" height="{STRIP}"/>']
    learned = place(result.learning_until_us)
    parts.append(f'<rect class="l" x="{LEFT}" y="{top}" width="{learned - LEFT:.1f}" height="{STRIP}"/>')
    for each in result.episodes:
        start, end = place(each.start_us), place(time_us[-1] if each.end_us is None else each.end_us)
        parts.append(
            f'<rect class="e" x="{start:.1f}" y="{top}" width="{max(end - start, 1.5):.1f}" height="{STRIP}"/>'
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
