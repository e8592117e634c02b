"""Grafana's dashboards: their JSON is that of the YAML, every query has rows on a real database, as the role that Grafana has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import yaml

from dashboards.__main__ import text
from dashboards.build import FOLDER, dashboard, definition, names
from historian.store import HistorianStore
from stack.config import ROOT
from tests.integration import documented_history, worked_history
from tests.integration.fix_history import copy_of

DAY = (datetime.now(UTC) - timedelta(days=1)).astimezone(worked_history.ZONE).date()
BEGIN, END = worked_history.shift_of(DAY)


def targets() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every query of every dashboard as Grafana gets it: panels, annotations, variables."""
    for name in names():
        made = dashboard(name)
        for panel in made["panels"]:
            for target in panel.get("targets", []):
                yield name, panel["title"], target
        for annotation in made["annotations"]["list"]:
            yield name, annotation["name"], annotation["target"]
        for variable in made["templating"]["list"]:
            yield name, f"variable {variable['name']}", {"rawSql": variable["query"]}


SQL = [(name, title, target["rawSql"]) for name, title, target in targets() if "rawSql" in target]


def expanded(sql: str, begin: datetime, end: datetime, values: dict[str, str], interval: str = "5m") -> str:
    """What Grafana's PostgreSQL data source sends: macros and variables replaced (pkg/tsdb/grafana-postgresql-datasource/macros.go)."""
    low, high = (f"'{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'" for at in (begin, end))

    def group(found: re.Match[str]) -> str:
        seconds = {"m": 60, "s": 1, "h": 3600}[found[2][-1]] * int(found[2][:-1])
        return f"floor(extract(epoch from {found[1]})/{seconds})*{seconds}"

    sql = sql.replace("$__interval", interval)
    sql = re.sub(r"\$__timeGroup\(([^,]+), '?(\w+)'?\)", group, sql)
    sql = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN {low} AND {high}", sql)
    sql = sql.replace("$__timeFrom()", low).replace("$__timeTo()", high)
    sql = sql.replace("$__unixEpochFrom()", f"{begin.timestamp():.0f}").replace(
        "$__unixEpochTo()", f"{end.timestamp():.0f}"
    )
    for name, value in values.items():
        sql = sql.replace(f"${name}", value)
    assert "$" not in sql, sql
    return sql


VALUES = {"site": "acme/north", "line": "acme/north/forming/line-1", "device": documented_history.DEVICE}


@pytest.fixture(scope="module")
def filled(postgres_admin_dsn: str, history_template: Callable[[str], str]) -> Iterator[str]:
    """Yesterday's work, and what a press did in the last two hours."""
    with copy_of(postgres_admin_dsn, history_template("plain")) as dsn:
        worked_history.write(dsn, DAY)
        store = HistorianStore(dsn)
        documented_history.fill(dsn, store)
        store.close()
        yield dsn


@pytest.mark.parametrize(("name", "title", "sql"), SQL, ids=[f"{name}: {title}" for name, title, _ in SQL])
def test_every_query_has_rows(filled: str, name: str, title: str, sql: str) -> None:
    # Now, and not when this file was read: what the press did was written since.
    end = datetime.now(UTC) + timedelta(minutes=1)
    with psycopg.connect(filled) as connection:
        connection.execute("SET ROLE millrace_grafana")
        connection.execute("SET statement_timeout = '20s'")
        rows = connection.execute(expanded(sql, BEGIN - timedelta(hours=7), end, VALUES)).fetchall()
        # Some choose another source for a long range.
        if "$__unixEpoch" in sql:
            long = expanded(sql, end - timedelta(days=30), end, VALUES, "1h")
            assert connection.execute(long).fetchall(), long
    assert rows, sql
    assert any(value is not None for value in rows[0])


@pytest.mark.parametrize("name", names())
def test_json_is_that_of_the_yaml(name: str) -> None:
    committed = (FOLDER / "grafana" / f"{name}.json").read_text()
    assert committed == text(name), "run `python -m dashboards`"
    made = json.loads(committed)
    numbers = [panel["id"] for panel in made["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in made["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]


def test_no_file_is_left_of_a_dashboard_that_is_gone() -> None:
    assert sorted(path.stem for path in (FOLDER / "grafana").glob("*.json")) == names()


def test_metrics_are_documented() -> None:
    known = (ROOT / "docs" / "metrics.md").read_text()
    used = {metric for name, _, target in targets() for metric in re.findall(r"millrace_\w+", target.get("expr", ""))}
    assert used
    assert {metric for metric in used if re.sub(r"_bucket$", "", metric) not in known} == set()


def test_provisioning_names_what_the_dashboards_use() -> None:
    sources = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "millrace.yaml").read_text())["datasources"]
    offered = {(source["type"], source["uid"]) for source in sources}
    used = {
        (target["datasource"]["type"], target["datasource"]["uid"])
        for _, _, target in targets()
        if "datasource" in target
    }
    assert used == offered
    assert all("title" in definition(name) for name in names())
