"""`top` on a terminal: tables of one snapshot and the rates since the one before."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas import topics
from stack import status
from stack.top_sources import Snapshot

_STYLE = {
    "RUNNING": "green",
    "STARTING": "yellow",
    "BACKOFF": "red",
    "FATAL": "red",
    "EXITED": "red",
    "STOPPED": "dim",
    "ABSENT": "red",
}
_LINE_STYLE = {"up": "green", "degraded": "yellow", "DOWN": "bold red", "not running": "dim"}


def view(now: Snapshot, rates: Mapping[str, float]) -> RenderableType:
    """Everything, for one screen."""
    parts: list[RenderableType] = []
    if now.line:
        parts.append(Text(status.line_text(dict(now.line)), style=_LINE_STYLE.get(now.line["state"], "")))
    if now.problems:
        text = "\n".join(f"{name}: {cause}" for name, cause in now.problems.items())
        parts.append(Panel(text, title="not reachable", border_style="red"))
    grid = Table.grid(padding=(0, 2))
    left = Group(_services(now), Text(), _facts(now), Text(), _accounting(now))
    grid.add_row(left, Group(_line(now, rates), Text(), _lag(now)))
    return Group(*parts, grid)


def number(value: float) -> str:
    """Digits in groups; a dash for nothing."""
    return f"{value:,.0f}"


def _services(now: Snapshot) -> Table:
    table = Table("service", "state", "restarts", box=None, header_style="bold", title="services", title_justify="left")
    for row in now.services:
        table.add_row(row["name"], Text(row["state"], style=_STYLE.get(row["state"], "")), str(row["restarts"] or ""))
    for row in now.jobs:
        table.add_row(row["name"], Text(row["state"], style=_STYLE.get(row["state"], "")), "")
    return table


def _line(now: Snapshot, rates: Mapping[str, float]) -> Table:
    table = Table(box=None, header_style="bold", title="line", title_justify="left")
    table.add_column("stage")
    for name in ("per second", "total"):
        table.add_column(name, justify="right")
    for topic in topics.TOPICS:
        if topic.name in now.records:
            table.add_row(f"{topic.name} records", _rate(rates, topic.name), number(now.records[topic.name]))
    for name in ("produced", "stored", "rejected", "suppressed"):
        if name in now.sql:
            table.add_row(
                f"samples {name}", _rate(rates, name), number(now.sql[name]), style="bold" if name == "stored" else ""
            )
    return table


def _rate(rates: Mapping[str, float], name: str) -> str:
    return number(rates[name]) if name in rates else "-"


def _lag(now: Snapshot) -> Table:
    table = Table("consumer group", "topic", box=None, header_style="bold", title="lag", title_justify="left")
    table.add_column("records behind", justify="right")
    for group, behind in now.lag.items():
        for topic, count in sorted(behind.items()):
            table.add_row(group, topic, number(count))
        if not behind:
            table.add_row(group, Text("nothing committed yet", style="dim"), "")
    return table


def _facts(now: Snapshot) -> Table:
    table = Table(box=None, show_header=False, title="now", title_justify="left")
    sql = now.sql
    if sql:
        age_ms = sql["newest_age_ms"]
        table.add_row("newest stored sample", "none" if age_ms is None else f"{age_ms / 1000:,.1f} s old")
        table.add_row("buffered at gateways", f"{number(sql['buffered'])} samples")
        table.add_row("open anomalies", str(sql["open_anomalies"]))
        commands = ", ".join(f"{state} {count}" for state, count in sorted(sql["commands"].items()))
        table.add_row("commands of 24 h", commands or "none")
    return table


def _accounting(now: Snapshot) -> Table:
    table = Table(box=None, show_header=False, title="accounting", title_justify="left")
    for name, value in _plain(now.accounting):
        table.add_row(name.replace("_", " "), value)
    return table


def _plain(accounting: Mapping[str, object]) -> list[tuple[str, str]]:
    """Totals of the accounting; the lanes are for `status`."""
    total = accounting.get("total", accounting)
    if not isinstance(total, Mapping):
        return []
    return [(str(name), _text(value)) for name, value in total.items() if isinstance(value, (bool, int, float, str))]


def _text(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else number(value)
