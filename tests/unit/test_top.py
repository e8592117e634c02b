"""`top`: rates of two snapshots, and a view that shows what is there when a part of the stack is down."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from stack import top_svg
from stack.top_sources import Snapshot, rates, stage_of
from stack.top_view import view

SERVICE = {"name": "kafka", "state": "RUNNING", "restarts": 2}
SQL = {
    "produced": 1500,
    "buffered": 40,
    "stored": 1000,
    "rejected": 10,
    "suppressed": 0,
    "late": 0,
    "newest_age_ms": 1250,
}
MORE = {"open_anomalies": 3, "commands": {"SUCCEEDED": 4, "FAILED": 1}}


def shown(now: Snapshot, found: dict[str, float]) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(view(now, found))
    return out.getvalue()


def test_rates_are_differences_over_the_time_between() -> None:
    before = Snapshot(at_s=10.0, records={"telemetry.frames": 100}, sql={"stored": 1000, "produced": 0})
    now = Snapshot(at_s=12.0, records={"telemetry.frames": 150, "command.acks": 3}, sql={"stored": 5000, "produced": 4})
    assert rates(before, now) == {"telemetry.frames": 25.0, "stored": 2000.0, "produced": 2.0}


@pytest.mark.parametrize(
    ("topic", "stage"),
    [("telemetry.frames.north", "telemetry.frames"), ("command.states", "command.states"), ("other", "other")],
)
def test_the_sites_of_a_topic_are_one_stage(topic: str, stage: str) -> None:
    assert stage_of(topic) == stage


def test_the_view_shows_every_part() -> None:
    now = Snapshot(
        at_s=1.0,
        services=[SERVICE],
        jobs=[{"name": "telemetry", "state": "ABSENT"}],
        records={"telemetry.frames": 12345},
        lag={"millrace-historian": {"telemetry.validated": 7}, "millrace-commands": {}},
        sql=SQL | MORE,
        accounting={"total": {"in_flight": 500, "lanes": {}}},
    )
    text = shown(now, {"telemetry.frames": 5.0, "stored": 100_000.0})
    for part in (
        "kafka",
        "RUNNING",
        "ABSENT",
        "12,345",
        "100,000",
        "1.2 s old",
        "FAILED 1, SUCCEEDED 4",
        "in flight",
        "nothing committed yet",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("state", "reasons", "shown_first"),
    [
        ("up", [], "the line is up since 2026-01-01T12:00:00+00:00 (3 s)"),
        ("DOWN", ["no job runs"], "the line is DOWN since 2026-01-01T12:00:00+00:00 (3 s)"),
    ],
)
def test_the_state_of_the_line_comes_first(state: str, reasons: list[str], shown_first: str) -> None:
    line = {"state": state, "since": "2026-01-01T12:00:00+00:00", "for_s": 3, "reasons": reasons}
    lines = shown(Snapshot(at_s=1.0, line=line, services=[SERVICE]), {}).splitlines()
    assert [one.strip() for one in lines[: 1 + len(reasons)]] == [shown_first, *reasons]


def test_what_is_down_is_named_and_the_rest_is_shown() -> None:
    text = shown(Snapshot(at_s=1.0, services=[SERVICE], problems={"sql": "connection refused"}), {})
    assert "sql: connection refused" in text
    assert "kafka" in text


def test_the_picture_has_every_word_of_the_view_at_its_place() -> None:
    now = Snapshot(at_s=1.0, services=[SERVICE | {"name": "a<b"}], records={"telemetry.frames": 12345}, sql=SQL | MORE)
    picture = top_svg.svg(view(now, {"stored": 100_000.0}), "./millrace top")
    texts = [found for found in ET.fromstring(picture).iter() if found.tag.endswith("text")]
    words = [found.text or "" for found in texts]
    assert words[0] == "./millrace top"
    for part in ("a<b", "RUNNING", "telemetry.frames records", "12,345", "100,000"):
        assert part in words
    running = next(found for found in texts if found.text == "RUNNING")
    assert running.get("class") == "green"
    name = next(found for found in texts if found.text == "a<b")
    assert name.get("y") == running.get("y")
    assert float(name.get("x", "")) < float(running.get("x", ""))
    width = float(re.findall(r'viewBox="0 0 (\d+)', picture)[0])
    assert all(float(one.get("x", "")) + float(one.get("textLength", "0")) <= width for one in texts)
