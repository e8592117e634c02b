"""Results that are kept: where they go, what is refused, and what the table says of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from base.errors import ConfigError
from benchmarks import conditions, recorded, summary
from benchmarks.__main__ import parser
from benchmarks.scenarios import SCENARIOS
from benchmarks.summary_figures import FIGURES


def result(**figures: Any) -> dict[str, Any]:
    return {
        "scenario": "throughput",
        "time": "2026-11-28T10:00:00+00:00",
        "command": "./millrace bench throughput --workload wide --seconds 300",
        "arguments": {"workload": "wide", "smoke": False},
        "machine": {"cpu": "Some CPU", "cores": 2, "memory_gb": 25.2, "load_before": 0.1},
        "versions": {"millrace": "abc1234", "postgresql": "15"},
        "storage": "plain PostgreSQL",
        "workload": {"name": "wide"},
        "samples_per_s": 650_000.0,
        "lost": 0,
        "curve": [[0.5, 1], [1.0, 2]],
        **figures,
    }


def test_a_result_goes_to_the_folder_of_its_day_and_commit_and_a_second_run_beside_it(tmp_path: Path) -> None:
    first, second = recorded.record(result(), tmp_path), recorded.record(result(), tmp_path)
    assert first == tmp_path / "2026-11-28-abc1234" / "throughput-workload-wide-seconds-300-plain.json"
    assert second.name == "throughput-workload-wide-seconds-300-plain.2.json"
    assert recorded.load(tmp_path) == {second: result(), first: result()}


def test_the_table_has_figures_of_every_scenario() -> None:
    """One without any is left out of the table, and nobody would miss it."""
    in_a_table_of_their_own = {"scaling"}
    assert SCENARIOS.keys() - in_a_table_of_their_own == FIGURES.keys()


def test_lists_of_numbers_are_one_line() -> None:
    assert '"curve": [\n    [0.5, 1],\n    [1.0, 2]\n  ]' in recorded.dumps(result())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"versions": {"millrace": "abc1234+"}}, "differs from commit abc1234"),
        ({"versions": {}}, "names no commit"),
        ({"arguments": {"smoke": True}}, "measures nothing"),
    ],
)
def test_what_nobody_could_repeat_is_not_kept(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        recorded.record(result(**change), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_the_runs_of_the_newest_folder_with_their_spread(tmp_path: Path) -> None:
    recorded.record(result(time="2026-11-27T10:00:00+00:00", samples_per_s=1.0), tmp_path)
    for hour, rate in (("10", 650_000.0), ("11", 700_000.0), ("12", 600_000.0)):
        recorded.record(result(time=f"2026-11-28T{hour}:00:00+00:00", samples_per_s=rate), tmp_path)
    recorded.record(result(scenario="limits", command="./millrace bench limits"), tmp_path)  # no figure of its own
    table = summary.table(recorded.newest(recorded.load(tmp_path)), relative_to=tmp_path)
    _, _, row = table.splitlines()
    assert row.startswith(
        "| `throughput` wide, plain PostgreSQL | **650 K samples/s (600 K to 700 K)**<br>lost 0 | "
        "`./millrace bench throughput --workload wide --seconds 300`<br>2 cores Some CPU, 25.2 GB<br>load average before 0.1<br>"
        "PostgreSQL 15<br>2026-11-28, commit abc1234<br>[run 1](2026-11-28-abc1234/throughput"
    )


def test_the_row_of_the_machines_has_both_halves_of_each_detector(tmp_path: Path) -> None:
    half = {
        "faults": 104,
        "found_percent": 80.8,
        "first_contributor_right_percent": 97.6,
        "false_per_3000_windows": 0.9,
    }
    halves = {"design": half, "held_out": half | {"found_percent": 70.2}}
    recorded.record(
        result(scenario="machines", command="./millrace bench machines", cases=320, detectors={"default": halves}),
        tmp_path,
    )
    _, _, row = summary.table(recorded.newest(recorded.load(tmp_path)), relative_to=tmp_path).splitlines()
    told = "of 104 faults found, the first contributor right in 97.6 % of them, 0.9 false episodes in 3,000 windows"
    assert f"**default, design: 80.8 % {told}**<br>default, held out: 70.2 % {told}<br>cases 320 |" in row


def test_long_times_are_told_in_the_larger_unit(tmp_path: Path) -> None:
    result = {"scenario": "commands", "command": "./millrace bench commands", "time": "2026-11-30T10:00:00Z"}
    figures = {"p50_ms": 95.1, "p99_ms": 7540.0}
    table = summary.table([[(tmp_path / "commands.json", result | figures)]], relative_to=tmp_path)
    assert "p50 95.1 ms" in table
    assert "p99 7.54 s" in table


def test_no_result_is_no_table(tmp_path: Path) -> None:
    assert summary.table(recorded.newest(recorded.load(tmp_path)), relative_to=tmp_path) == "No result is kept yet.\n"


def test_the_table_is_put_between_its_marks() -> None:
    text = f"before\n{summary.BEGIN}\nold\n{summary.END}\nafter\n"
    once = summary.put("new\n", text)
    assert once == f"before\n{summary.BEGIN}\n\nnew\n\n{summary.END}\nafter\n"
    assert summary.put("new\n", once) == once
    with pytest.raises(ConfigError, match="no place"):
        summary.put("new\n", "nothing")


@pytest.mark.parametrize(
    "words",
    [
        ["throughput"],
        ["throughput", "--workload", "wide", "--seconds", "300", "--without", "copy", "--without", "checks"],
        ["scaling", "--slots", "1", "--frame-samples", "10", "100"],
        ["recovery", "--timescaledb", "off", "--rate", "500000.5"],
    ],
)
def test_the_command_of_a_result_is_what_was_asked(words: list[str]) -> None:
    def parsed(given: list[str]) -> argparse.Namespace:
        return parser().parse_args(given)

    command = conditions.command_of(parsed([*words, "--json", "x.json", "--record"]), parsed(words[:1]))
    assert vars(parsed(command.split()[2:])) == vars(parsed(words))


def test_conditions_name_no_path_of_one_machine() -> None:
    assert conditions.portable("/somewhere/data/nab") == "nab"
    assert conditions.portable(["/somewhere/a.json", 2.0]) == ["a.json", 2]
    assert conditions.portable(60.0) == 60
