"""Results as the Markdown table of `docs/benchmarks.md`. Pure.

Enters: the runs of each thing that was measured (`recorded.newest`). Leaves: one row each, figures beside their conditions. What a row
says of a scenario is a table here; a figure that a result does not have is left out, and so is a result without any. Of several runs a
row has the median and the range.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from base.errors import ConfigError
from benchmarks.charts import si
from benchmarks.summary_figures import FIGURES, MS, RATE, RATIO, SLOPE, US, S
from stack.config import ROOT

Result = Mapping[str, Any]
Run = tuple[Path, Result]
"""A result and its file."""

DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- made by `./millrace bench table --write` -->", "<!-- end of the table -->"

_LARGER = {US: MS, MS: S}
"""Nobody reads 7,500 ms, or 7.5 K ms."""
HALVES = ("design", "held_out")
"""Of the corpus of machines."""


def table(things: Sequence[Sequence[Run]], *, relative_to: Path) -> str:
    """The table, a row for each thing that has figures. Links lead from the folder `relative_to`."""
    rows = [_row(runs, relative_to) for runs in things if _figures([result for _, result in runs])]
    if not rows:
        return "No result is kept yet.\n"
    return "\n".join(["| what | figures | conditions |", "|---|---|---|", *rows]) + "\n"


def put(table: str, text: str) -> str:
    """The document with the table between its marks; raises ConfigError for a text without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        msg = f"{DOCUMENT.name} has no place for the table: {BEGIN} and {END}"
        raise ConfigError(msg)
    return f"{before}{BEGIN}\n\n{table}\n{END}{after}"


def _row(runs: Sequence[Run], relative_to: Path) -> str:
    results = [result for _, result in runs]
    first, *more = _figures(results)
    cells = [_name(results[-1]), "<br>".join([f"**{first}**", *more]), "<br>".join(_conditions(runs, relative_to))]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _name(result: Result) -> str:
    workload = result.get("workload")
    name = f"`{result['scenario']}`" + (f" {workload['name']}" if isinstance(workload, Mapping) else "")
    return name + (f", {result['storage']}" if result.get("storage") else "")


def _figures(results: Sequence[Result]) -> list[str]:
    newest = results[-1]
    parts = []
    for detector, profiles in newest.get("scores", {}).items():
        scores = ", ".join(f"{name.replace('_', ' ')} {one['score']:.1f}" for name, one in profiles.items())
        found = next(iter(profiles.values()))
        parts.append(f"{detector}: {scores}; {found['windows_detected']} windows found")
    for detector, halves in newest.get("detectors", {}).items():
        parts += [_of_half(f"{detector}, {name.replace('_', ' ')}", halves[name]) for name in HALVES if name in halves]
    parts += [_of_wear(name.replace("_", " "), half) for name, half in newest.get("forecasts", {}).items()]
    for key, label, unit in FIGURES.get(str(newest["scenario"]), ()):
        values = [result[key] for result in results if result.get(key) is not None]
        if values:
            parts.append(f"{label} {_spread(values, unit)}".strip())
    # What a scenario measures one after the other is in its own table.
    for one in newest.get("tables", ()) if newest["scenario"] == "scaling" else ():
        parts += [f"{row[0]} {_value(row[1], RATE)}" for row in one["rows"]]
    return parts


def _of_half(what: str, half: Result) -> str:
    """What a detector made of a half of the machines."""
    return (
        f"{what}: {half['found_percent']} % of {half['faults']} faults found, the first contributor right in "
        f"{half['first_contributor_right_percent']} % of them, {half['false_per_3000_windows']} false episodes in 3,000 windows"
    )


def _of_wear(what: str, half: Result) -> str:
    """What forecasts made of a half of the series that wear, and of those that do not."""
    return (
        f"{what}: {half['in_time_percent']} % of {half['failures']} failures told in time, the interval has "
        f"{half['interval_has_failure_percent']} % of them, the moment is off by {half['median_error_of_time_left_percent']} % of the time "
        f"left, {half['false_per_machine_month']} false forecasts a machine-month"
    )


def _spread(values: Sequence[Any], unit: str) -> str:
    if isinstance(values[-1], str) or len(set(values)) == 1:
        return _value(values[-1], unit)
    low, middle, high = (_value(one, unit) for one in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low.removesuffix(unit).rstrip()} to {high.removesuffix(unit).rstrip()})"


def _value(value: Any, unit: str) -> str:
    if isinstance(value, str):
        return value
    while unit in _LARGER and abs(value) >= 1000:
        value, unit = value / 1000, _LARGER[unit]
    text = (
        f"{value:,.0f}"
        if unit == ""
        else f"{value:.3g}"
        if unit in {RATIO, SLOPE, US, MS, S} and abs(value) < 1000
        else si(value)
    )
    return f"{text} {unit}".strip()


def _conditions(runs: Sequence[Run], relative_to: Path) -> list[str]:
    result, machine = runs[-1][1], runs[-1][1].get("machine", {})
    files = [
        f"[{'result' if len(runs) == 1 else f'run {number}'}]({os.path.relpath(path, relative_to)})"
        for number, (path, _) in enumerate(runs, 1)
    ]
    hardware = f"{machine.get('cores')} cores {machine.get('cpu')}, {machine.get('memory_gb')} GB"
    loads = [one["machine"]["load_before"] for _, one in runs if "load_before" in one.get("machine", {})]
    versions = result.get("versions", {})
    parts = [f"`{result['command']}`", hardware if machine else ""]
    if loads:
        parts.append(f"load average before {_spread(loads, RATIO).replace(' ×', '')}")
    software = [f"PostgreSQL {versions['postgresql']}"] if "postgresql" in versions and "storage" in result else []
    software += [f"Flink {versions['apache-flink']}"] if "apache-flink" in versions else []
    parts += [", ".join(software), f"{result['time'][:10]}, commit {versions.get('millrace', '')}", ", ".join(files)]
    return [part for part in parts if part]
