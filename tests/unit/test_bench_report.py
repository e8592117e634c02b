"""The report: one page, nothing outside it, well formed, whatever a result holds."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from base.errors import ConfigError
from benchmarks import __main__ as bench
from benchmarks import charts, report

RESULT: dict[str, Any] = {
    "scenario": "recovery",
    "time": "2026-01-01T00:00:00+00:00",
    "workload": {"name": "fast <&>"},
    "arguments": {"seconds": 1},
    "samples_per_s": 1_234_567.8,
    "lost": 0,
    "p99_ms": None,
    "curve": [[0, 0], [1.5, 1e6], [3, 3e6]],
    "histograms": {"Closed to readable": {"edges_ms": [1, 10, 100], "counts": [3, 5]}},
    "series": {"Lag": {"unit": "samples", "lines": {"lag": [[0, 1], [1, 5]]}}},
    "marks": [[1.0, "kill <1>"]],
    "cpu": {"kafka": 0.5, "postgres": 0.25},
    "cpu_over_time": {"kafka": [[1, 0.5], [2, 0.4]]},
    "memory_over_time": {f"process-{n}": [[0, n], [1, n]] for n in range(12)},
    "tables": [{"title": "Kills", "columns": ["victim", "s"], "rows": [["taskmanager-2", 7.5]]}],
}


def test_a_page_is_well_formed_and_stands_alone() -> None:
    text = report.page([RESULT, {"scenario": "limits"}])
    root = ET.fromstring(
        text.removeprefix("<!doctype html>")
        .replace('<meta charset="utf-8">', "")
        .replace('<meta name="viewport" content="width=device-width">', "")
    )
    assert len(root.findall(".//svg")) == 6
    assert "fast <&>" in ET.tostring(root, encoding="unicode", method="text")
    assert "http" not in text
    assert "1,234,568" in text
    assert "not measured" in text


def test_only_the_largest_series_are_drawn() -> None:
    names = re.findall(r"<title>(process-\d+)</title>", report.page([RESULT]))
    assert set(names) == {f"process-{n}" for n in range(4, 12)}


@pytest.mark.parametrize("value", [0.0, 1e-9, 3, 7.5, 1_000_000])
def test_a_line_of_any_height_is_drawn(value: float) -> None:
    ET.fromstring(f"<r>{charts.lines({'a': [(0, 0), (1, value)]}, unit='x')}</r>")


def test_nothing_gives_no_chart() -> None:
    assert charts.lines({}, unit="x") == charts.bars({}, unit="x") == charts.histogram([], [], unit="x") == ""


def test_numbers_as_people_read_them() -> None:
    assert [charts.si(one) for one in (1_234_567, 340_000, 12, 2.5e9)] == ["1.23 M", "340 K", "12", "2.5 G"]


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "a.json", tmp_path / "a.html"
    source.write_text(json.dumps(RESULT))
    assert bench.main(["report", str(source), "--out", str(target)]) == 0
    assert "recovery" in target.read_text()
    assert str(target) in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{}", "{"])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match="no result of a benchmark"):
        report.load(tmp_path / "a.json")
