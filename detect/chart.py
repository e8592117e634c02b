"""The picture that can be zoomed: one HTML file with everything in it, a strip per tag and the score, sharing one time axis.

A history of more than `POINTS` rows is drawn by its lowest and highest value of each stretch, and the page says so.
"""

from __future__ import annotations

from html import escape

import numpy as np
from bokeh.embed import file_html
from bokeh.layouts import column, gridplot
from bokeh.models import BoxAnnotation, Div, HoverTool, Range1d, Span
from bokeh.plotting import figure
from bokeh.resources import INLINE
from numpy.typing import NDArray

from detect.picture import MAX_STRIPS
from detect.replay import Contributor, EpisodeRow, Replay
from detect.report import iso, sentence
from detect.table import History

POINTS = 20_000
_HEIGHT = 150


def draw(history: History, result: Replay) -> str:
    """The HTML document."""
    order = np.argsort(history.time_us, kind="stable")
    time_us = history.time_us[order]
    plots: list[figure] = []
    for place, name in enumerate(history.tags[:MAX_STRIPS]):
        plots.append(
            _strip(name, time_us, history.values[order, place], result, "#1f4e79", plots[0] if plots else None)
        )
    score = _strip("score", time_us, result.score[order], result, "#7a3b00", plots[0])
    ms, threshold = thinned(time_us, result.threshold[order])
    score.line(ms, threshold, color="#c00", line_dash="dashed", legend_label="threshold")
    score.y_range.start, score.y_range.end = 0.0, 1.02
    plots.append(score)
    episodes = "".join(f"<li>{_sentence(each)}</li>" for each in result.episodes)
    thin = (
        f" Of {len(time_us):,} rows, the lowest and highest of each stretch are drawn." if len(time_us) > POINTS else ""
    )
    head = Div(
        text=f"<h2>{escape(history.name)}</h2><p>{result.windows_scored:,} windows of {result.window_s} s were scored. Red: episodes. "
        f"Grey: learning, not scored. Wheel and drag zoom; all strips move together. Times are UTC.{thin}</p>"
    )
    foot = Div(text=f"<h3>Episodes</h3><ol>{episodes}</ol>" if episodes else "<h3>No episode</h3>")
    if result.limits:
        forecasts = "".join(f"<li>{escape(sentence(each))}</li>" for each in result.forecasts)
        foot.text += f"<h3>Forecasts</h3><ol>{forecasts}</ol>" if forecasts else "<h3>No forecast</h3>"
    grid = gridplot([[each] for each in plots], sizing_mode="stretch_width", merge_tools=True, toolbar_location="right")
    return str(
        file_html(column(head, grid, foot, sizing_mode="stretch_width"), INLINE, title=f"{history.name}: anomalies")
    )


def thinned(time_us: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Milliseconds and values, at most POINTS: of each stretch of rows the lowest and the highest, in their order."""
    ms = time_us / 1e3
    if len(values) <= POINTS:
        return ms, values
    edges = np.linspace(0, len(values), POINTS // 2 + 1).astype(np.int64)[:-1]
    known = np.isfinite(values)
    low, high = np.where(known, values, np.inf), np.where(known, values, -np.inf)
    stretch = np.repeat(np.arange(len(edges)), np.diff([*edges, len(values)]))
    at_low = np.lexsort((low, stretch))[edges]
    at_high = np.lexsort((-high, stretch))[edges]
    rows = np.sort(np.column_stack([at_low, at_high]), axis=1).ravel()
    return ms[rows], values[rows]


def _strip(
    name: str,
    time_us: NDArray[np.int64],
    values: NDArray[np.float64],
    result: Replay,
    colour: str,
    first: figure | None,
) -> figure:
    plot = figure(
        height=_HEIGHT,
        x_axis_type="datetime",
        tools="xpan,xwheel_zoom,xbox_zoom,reset,save",
        active_scroll="xwheel_zoom",
        title=name,
        x_range=Range1d(time_us[0] / 1e3, time_us[-1] / 1e3) if first is None else first.x_range,
    )
    ms, drawn = thinned(time_us, np.where(np.isfinite(values), values, np.nan))
    plot.line(ms, drawn, color=colour)
    for end in result.limits.get(name, ()):
        if end is not None:
            plot.add_layout(Span(location=end, dimension="width", line_color="#7b1fa2"))
    for forecast in result.forecasts:
        if forecast.tag == name:
            for one in forecast.steps:
                ends_ms = [one.as_of_us / 1e3, one.likely_us / 1e3]
                plot.line(ends_ms, [one.level, forecast.limit], color="#7b1fa2", line_dash="dashed")
    plot.add_tools(
        HoverTool(tooltips=[("time", "@x{%F %T}"), (name, "@y")], formatters={"@x": "datetime"}, mode="vline")
    )
    plot.add_layout(
        BoxAnnotation(right=result.learning_until_us / 1e3, fill_color="#888", fill_alpha=0.15, level="underlay")
    )
    for each in result.episodes:
        end_us = time_us[-1] if each.end_us is None else each.end_us
        plot.add_layout(
            BoxAnnotation(
                left=each.start_us / 1e3, right=end_us / 1e3, fill_color="#e00", fill_alpha=0.2, level="underlay"
            )
        )
    return plot


def _sentence(each: EpisodeRow) -> str:
    end = "still open at the end" if each.end_us is None else f"to {iso(each.end_us)}"
    tags = ", ".join(_contribution(one) for one in each.contributors[:3])
    return f"{iso(each.start_us)} {end}, peak {each.peak:.2f}, threshold {each.threshold:.2f}: {tags}"


def _contribution(one: Contributor) -> str:
    known = one.expected_low is not None and one.expected_high is not None
    expected = f", expected {one.expected_low:.4g} to {one.expected_high:.4g}" if known else ""
    return f"{escape(one.tag)} {one.value:.4g}{expected} ({one.statistic})"
