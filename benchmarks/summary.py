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
from stack.config import ROOT

Result = Mapping[str, Any]
Run = tuple[Path, Result]
"""A result and its file."""

DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- made by `./millrace bench table --write` -->", "<!-- end of the table -->"

_RATE, _MS, _S, _COUNT, _RATIO, _SLOPE = "samples/s", "ms", "s", "", "×", "MB/min"

FIGURES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "limits": (
        ("generator_samples_per_s", "generator", _RATE),
        ("decode_samples_per_s", "decode", _RATE),
        ("decode_and_checksum_samples_per_s", "with checksum", _RATE),
        ("logic_samples_per_s", "telemetry logic", _RATE),
        ("logic_without_detection_samples_per_s", "without detection", _RATE),
        ("logic_signed_ratio", "CPU of the logic with signatures to without", _RATIO),
        ("logic_signed_16_ratio", "16 frames under one signature", _RATIO),
        ("store_samples_per_s", "historian's store", _RATE),
        ("copy_rows_per_s_1", "COPY, one connection", "rows/s"),
        ("copy_rows_per_s_2", "COPY, two", "rows/s"),
    ),
    "throughput": (
        ("samples_per_s", "", _RATE),
        ("ratio_to_copy_limit", "of COPY alone", _RATIO),
        ("samples_per_s_with_indexes", "with building the indexes afterwards", _RATE),
        ("seconds", "over", _S),
        ("rows", "rows", _COUNT),
        ("lost", "lost", _COUNT),
        ("duplicated", "duplicated", _COUNT),
        ("wrong_cells", "wrong cells", _COUNT),
        ("rejected", "rejected", _COUNT),
        ("rejected_expected", "of", _COUNT),
        ("read_closed_p50_ms", "one tag's history, p50", _MS),
        ("read_closed_p99_ms", "p99", _MS),
        ("read_samples", "samples read", _COUNT),
    ),
    "restore": (
        ("rto_s", "from the kill to new samples in SQL", _S),
        ("caught_up_s", "to all of them", _S),
        ("rpo_entered_s", "lost of what is only in the database", _S),
        ("samples", "samples", _COUNT),
        ("samples_lost", "lost", _COUNT),
        ("samples_duplicated", "duplicated", _COUNT),
        ("windows_lost", "windows lost", _COUNT),
        ("command_transitions", "transitions of commands", _COUNT),
        ("commands_lost", "lost", _COUNT),
    ),
    "passthrough": (("samples_per_s", "", _RATE), ("frames_per_s", "", "frames/s")),
    "freshness": (
        ("sql_p50_ms", "closed to SQL p50", _MS),
        ("sql_p99_ms", "p99", _MS),
        ("grpc_p50_ms", "closed to gRPC p50", _MS),
        ("grpc_p99_ms", "p99", _MS),
        ("sql_source_p99_ms", "source to SQL p99", _MS),
        ("grpc_source_p99_ms", "source to gRPC p99", _MS),
        ("lost", "lost", _COUNT),
        ("duplicated", "duplicated", _COUNT),
    ),
    "peers": (
        ("samples_per_s", "ours", _RATE),
        ("samples_per_s_without_detection", "without detection", _RATE),
        ("flink_sql_samples_per_s", "Flink SQL", _RATE),
        ("bytewax_samples_per_s", "bytewax", _RATE),
        ("ratio_to_flink_sql", "Flink SQL's", _RATIO),
        ("ratio_to_bytewax", "bytewax'", _RATIO),
    ),
    "recovery": (
        ("kills", "kills", _COUNT),
        ("kills_wanted", "of", _COUNT),
        ("recovered", "recovered", _COUNT),
        ("recovered_s_mean", "lag back after, mean", _S),
        ("recovered_s_max", "longest", _S),
        ("lost", "lost", _COUNT),
        ("duplicated", "duplicated", _COUNT),
        ("wrong_cells", "wrong checksums", _COUNT),
        ("wrong_windows", "wrong windows", _COUNT),
    ),
    "faults": (
        ("faults_done", "faults", _COUNT),
        ("healed", "healed without a person", _COUNT),
        ("samples_kill_p95_s", "samples again after a kill, p95", _S),
        ("samples_kill_max_s", "longest", _S),
        ("samples_pause_p95_s", "after a pause, p95", _S),
        ("samples_pause_max_s", "longest", _S),
        ("accounting_exact", "accounting exact", _COUNT),
        ("commands", "commands", _COUNT),
        ("commands_unknown", "unknown", _COUNT),
        ("commands_wrong", "wrong", _COUNT),
    ),
    "soak": (
        ("slope_max_mb_per_min", "steepest memory", _SLOPE),
        ("slope_max_process", "of", _COUNT),
        ("lag_median_samples", "lag, median", "samples"),
        ("lost", "lost", _COUNT),
        ("duplicated", "duplicated", _COUNT),
    ),
    "commands": (
        ("commands", "commands", _COUNT),
        ("succeeded", "succeeded", _COUNT),
        ("p50_ms", "submit to the recorded outcome p50", _MS),
        ("p99_ms", "p99", _MS),
        ("p99_9_ms", "p99.9", _MS),
        ("provisional_p50_ms", "to the gateway's word p50", _MS),
        ("provisional_p99_ms", "p99", _MS),
        ("first_up_s", "first up", _S),
        ("second_up_s", "second up", _S),
    ),
    "alarms": (
        ("alarms", "alarms", _COUNT),
        ("p50_ms", "from the frame that shows one to gRPC p50", _MS),
        ("p95_ms", "p95", _MS),
        ("p99_ms", "p99", _MS),
        ("machines", "alarms of a flood", _COUNT),
        ("critical_on_top_max_ms", "critical on top within", _MS),
        ("lines_max", "lines of the calm list at most", _COUNT),
        ("faults_done", "kills and pauses", _COUNT),
        ("told", "notifications", _COUNT),
        ("rules", "rules", _COUNT),
        ("devices", "devices", _COUNT),
        ("quiet_record_us", "a quiet record of 400 values", "µs"),
        ("busy_record_us", "one when a percent of the rules stand", "µs"),
        ("memory_of_rules_mb", "memory of the rules", "MB"),
        ("wrong", "wrong", _COUNT),
    ),
    "actuations": (
        ("commands", "commands", _COUNT),
        ("kills", "kills of the gateway", _COUNT),
        ("wrong", "contradictions with the machine's journal", _COUNT),
        ("twice", "carried out twice", _COUNT),
        ("unknown", "unknown", _COUNT),
        ("restart_s_max", "connected again within", _S),
    ),
    "edge": (
        ("opcua_samples_per_s", "OPC UA", _RATE),
        ("sparkplug_samples_per_s", "Sparkplug", _RATE),
        ("mqtt_samples_per_s", "MQTT with JSON", _RATE),
        ("synthetic_samples_per_s", "without a protocol", _RATE),
    ),
    "foreign": (
        ("stored", "values", _COUNT),
        ("wrong", "wrong", _COUNT),
        ("doubled", "doubled", _COUNT),
        ("lost", "lost while the line was away", _COUNT),
        ("exact", "runs of them that a gap event names exactly", _COUNT),
        ("inexact", "inexactly", _COUNT),
        ("unnamed", "not named", _COUNT),
        ("silent", "items silent at the end", _COUNT),
        ("back_after_restart_s_median", "values again after a restart, median", _S),
        ("back_after_restart_s_max", "longest", _S),
    ),
    "outage": (
        ("produced", "samples", _COUNT),
        ("lost", "lost", _COUNT),
        ("doubled", "doubled", _COUNT),
        ("told", "in exact gap events", _COUNT),
        ("replay_of_live", "replay, of the live rate", _RATIO),
        ("live_of_calm", "p99 of live frames beside it, of a calm time's", _RATIO),
    ),
    "corruption": (
        ("trials", "damaged buffers", _COUNT),
        ("failed", "wrong", _COUNT),
        ("lost", "entries lost", _COUNT),
        ("gaps", "gap events", _COUNT),
    ),
    "machines": (("cases", "cases", _COUNT),),
    "wear": (("series", "series", _COUNT),),
    "nab": (
        ("series", "series", _COUNT),
        ("windows", "labelled windows", _COUNT),
        ("points", "rows", _COUNT),
    ),
}


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
        parts += [f"{row[0]} {_value(row[1], _RATE)}" for row in one["rows"]]
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
    text = (
        f"{value:,.0f}"
        if unit == ""
        else f"{value:.3g}"
        if unit in {_RATIO, _SLOPE, _MS, _S} and abs(value) < 1000
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
        parts.append(f"load average before {_spread(loads, _RATIO).replace(' ×', '')}")
    software = [f"PostgreSQL {versions['postgresql']}"] if "postgresql" in versions and "storage" in result else []
    software += [f"Flink {versions['apache-flink']}"] if "apache-flink" in versions else []
    parts += [", ".join(software), f"{result['time'][:10]}, commit {versions.get('millrace', '')}", ", ".join(files)]
    return [part for part in parts if part]
