"""Results as a page to look at: one HTML file with nothing outside it.

Enters: result files of `./millrace bench`, which share names for what can be drawn: `curve`, `histograms`, `cpu`, `cpu_over_time`,
`memory_over_time`, `series`, `tables`, `marks`. Leaves: text. A result that has none of them still gets its figures and conditions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from base.errors import ConfigError
from benchmarks import charts
from benchmarks.figures import rates

Result = Mapping[str, Any]

_CONDITIONS = ("command", "arguments", "storage", "workload", "dirt", "machine", "versions")
_DRAWN = ("curve", "histograms", "cpu", "cpu_over_time", "memory_over_time", "series", "tables", "marks", "memory_mb")
_MOST_SERIES = 8
"""In one chart: the largest; a reader cannot tell more apart."""


def load(path: Path) -> dict[str, Any]:
    """A result file; raises ConfigError for a file that is none."""
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        msg = f"{path} is no result of a benchmark: {error}"
        raise ConfigError(msg) from error
    if not isinstance(result, dict) or "scenario" not in result:
        msg = f"{path} is no result of a benchmark: it names no scenario"
        raise ConfigError(msg)
    return result


def page(results: Sequence[Result]) -> str:
    """The whole page, results in the order given."""
    body = "".join(_section(result, f"r{number}") for number, result in enumerate(results))
    contents = "".join(
        f'<li><a href="#r{number}">{escape(_title(result))}</a></li>' for number, result in enumerate(results)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Millrace benchmarks</title>'
        f'<meta name="viewport" content="width=device-width">{_STYLE}</head><body><h1>Millrace benchmarks</h1>'
        "<p>One run each, on the machine named with it. What the figures do not cover is in benchmarks/README.md.</p>"
        f"<ul>{contents}</ul>{body}</body></html>\n"
    )


def _title(result: Result) -> str:
    workload = result.get("workload")
    name = workload.get("name") if isinstance(workload, Mapping) else None
    return f"{result['scenario']}{f', {name}' if name else ''} ({result.get('time', 'no time')})"


def _section(result: Result, anchor: str) -> str:
    parts = [f'<section id="{anchor}"><h2>{escape(_title(result))}</h2>', _figures(result)]
    marks = [(float(at), str(label)) for at, label in result.get("marks", ())]
    if result.get("curve"):
        curve = [(float(at), float(total)) for at, total in result["curve"]]
        series = {"samples per second": rates(curve, max(1.0, curve[-1][0] / 120))}
        parts.append(_chart("Throughput over time", charts.lines(series, unit="samples/s", marks=marks)))
    for name, one in result.get("series", {}).items():
        parts.append(_chart(name, charts.lines(one["lines"], unit=one.get("unit", ""), marks=marks)))
    for number, (name, one) in enumerate(result.get("histograms", {}).items()):
        drawn = charts.histogram(one["edges_ms"], one["counts"], unit="ms", number=number)
        parts.append(_chart(f"{name}, logarithmic", drawn))
    if result.get("cpu"):
        parts.append(_chart("CPU by process, mean", charts.bars(result["cpu"], unit="cores")))
    for key, title, unit in (
        ("cpu_over_time", "CPU by process over time", "cores"),
        ("memory_over_time", "Memory by process over time", "MB (proportional share)"),
    ):
        if result.get(key):
            parts.append(_chart(title, charts.lines(_largest(result[key]), unit=unit, marks=marks)))
    parts += [_table(one["title"], one["columns"], one["rows"]) for one in result.get("tables", ())]
    conditions = {key: result[key] for key in _CONDITIONS if key in result}
    text = escape(json.dumps(conditions, indent=2))
    parts.append(f"<details><summary>Conditions</summary><pre>{text}</pre></details></section>")
    return "".join(parts)


def _figures(result: Result) -> str:
    """Everything that is one number or word."""
    left_out = {"scenario", "time", *_CONDITIONS, *_DRAWN}
    rows = [
        [key, _value(value)]
        for key, value in result.items()
        if key not in left_out and (value is None or isinstance(value, int | float | str | bool))
    ]
    return _table("", ["figure", "value"], rows) if rows else ""


def _largest(series: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, list[tuple[float, float]]]:
    means = {name: sum(value for _, value in points) / len(points) for name, points in series.items() if points}
    chosen = sorted(means, key=lambda name: -means[name])[:_MOST_SERIES]
    return {name: [(float(at), float(value)) for at, value in series[name]] for name in chosen}


def _chart(title: str, drawn: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}</figure>" if drawn else ""


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(str(column))}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(_value(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _value(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


_STYLE = """<style>
:root { color-scheme: light dark; --ink: #1c2733; --soft: #66717d; --grid: #d9dee3; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe5ea; --soft: #94a0ab; --grid: #37414a; --paper: #161b20; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 780px; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; border-top: 1px solid var(--grid); padding-top: 1rem; }
figure { margin: 1.5rem 0; } figcaption, caption { font-weight: 600; text-align: left; margin-bottom: .3rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--soft); }
.grid { stroke: var(--grid); } .mark { stroke: #c0392b; stroke-width: 2; stroke-dasharray: 3 3; }
.line { fill: none; stroke: var(--c); stroke-width: 1.6; stroke-linejoin: round; } .bar { fill: var(--c); }
.key { display: inline-block; width: .8em; height: .8em; background: var(--c); margin-right: .35em; }
.legend span { margin-right: 1.1em; white-space: nowrap; font-size: 13px; }
.s0 { --c: #0072b2 } .s1 { --c: #d55e00 } .s2 { --c: #009e73 } .s3 { --c: #cc79a7 } .s4 { --c: #e69f00 }
.s5 { --c: #56b4e9 } .s6 { --c: #8c6d31 } .s7 { --c: #7570b3 } .s8 { --c: #999933 } .s9 { --c: #882255 }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; } th { color: var(--soft); font-weight: 500; }
pre { overflow-x: auto; font-size: 12px; }
</style>"""
