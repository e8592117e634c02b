"""Results as rows of a Markdown table, to be put into a page of documentation. Pure.

What a row says of a scenario is a table here; a figure that a result does not have is left out, and so is a result without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.charts import si

Result = Mapping[str, Any]

_RATE, _MS, _S, _COUNT, _RATIO, _SLOPE = "samples/s", "ms", "s", "", "×", "MB/min"

FIGURES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "limits": (
        ("generator_samples_per_s", "generator", _RATE),
        ("decode_samples_per_s", "decode", _RATE),
        ("decode_and_checksum_samples_per_s", "with checksum", _RATE),
        ("logic_samples_per_s", "telemetry logic", _RATE),
        ("logic_without_detection_samples_per_s", "without detection", _RATE),
        ("store_samples_per_s", "historian's store", _RATE),
        ("copy_rows_per_s_1", "COPY, one connection", "rows/s"),
        ("copy_rows_per_s_2", "COPY, two", "rows/s"),
    ),
    "throughput": (
        ("samples_per_s", "", _RATE),
        ("ratio_to_copy_limit", "of COPY alone", _RATIO),
        ("samples_per_s_with_indexes", "with building the indexes afterwards", _RATE),
        ("lost", "lost", _COUNT),
        ("duplicated", "duplicated", _COUNT),
        ("read_closed_p50_ms", "one tag's history, p50", _MS),
        ("read_closed_p99_ms", "p99", _MS),
        ("read_samples", "samples read", _COUNT),
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
        ("p50_ms", "p50", _MS),
        ("p99_ms", "p99", _MS),
        ("first_up_s", "first up", _S),
        ("second_up_s", "second up", _S),
    ),
}
_CONDITIONS = ("rate", "gateways", "seconds", "telemetry_slots", "historian_slots", "dirt", "without", "seed")


def table(results: Sequence[Result]) -> str:
    """The table, a row per result that has figures."""
    rows = [(_name(one), figures, _conditions(one)) for one in results if (figures := _figures(one))]
    lines = ["| scenario | figures | conditions |", "|---|---|---|"]
    lines += [f"| {name} | {figures} | {conditions} |" for name, figures, conditions in rows]
    return "\n".join(lines) + "\n"


def _name(result: Result) -> str:
    workload = result.get("workload")
    return f"`{result['scenario']}`" + (f" {workload['name']}" if isinstance(workload, Mapping) else "")


def _figures(result: Result) -> str:
    known = FIGURES.get(str(result["scenario"]), ())
    parts = [
        f"{label} {_value(result[key], unit)}".strip() for key, label, unit in known if result.get(key) is not None
    ]
    # What a scenario measures one after the other is in its own table.
    for one in result.get("tables", ()) if result["scenario"] == "scaling" else ():
        parts += [f"{row[0]} {_value(row[1], _RATE)}" for row in one["rows"]]
    return ", ".join(parts)


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


def _conditions(result: Result) -> str:
    arguments, machine = result.get("arguments", {}), result.get("machine", {})
    parts = [
        f"{key.replace('_', ' ')} {arguments[key]}" for key in _CONDITIONS if arguments.get(key) not in (None, [], "")
    ]
    if "storage" in result:
        parts.append(str(result["storage"]))
    if machine:
        parts.append(f"{machine.get('cores')} cores {machine.get('cpu')}")
    return ", ".join([*parts, str(result.get("time", ""))[:10]])
