"""Whether people can live with the alarms of a while, by EEMUA 191, and what other delays and deadbands would have changed.

Enters: history in SQL, rules, definitions. Leaves: text for people. Who calls: `alarms report`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from alarms import trial
from schemas.alarm_rules import AlarmRule, ConditionKind
from schemas.definitions import TagDefinition
from stages.alarms.eemua import rate_verdict

Row = dict[str, Any]
_DELAYS_S = (5.0, 10.0, 30.0, 60.0)
_BANDS = (2.0, 4.0)
_PUT_ASIDE = """SELECT path, rule, o->>'kind' AS kind, o->>'by' AS who, o->>'reason' AS reason, to_time((o->>'until_us')::bigint) AS until
                FROM alarms, jsonb_array_elements(overrides) o WHERE start_time IS NULL AND state <> 'NORMAL' ORDER BY path, rule"""


class Report(NamedTuple):
    """What the database says of a while."""

    since: datetime
    until: datetime
    scopes: list[Row]
    top: list[Row]
    stale: list[Row]
    put_aside: list[Row]


class Proposal(NamedTuple):
    """A rule with one of its fields changed, and how often it would have been raised."""

    field: str
    before: float
    after: float
    raised: int


def collect(connection: psycopg.Connection[Any], since: datetime, until: datetime) -> Report:
    """Ask the database; raises psycopg.Error."""
    with connection.cursor(row_factory=dict_row) as cursor:

        def rows(query: str, *given: object) -> list[Row]:
            return cursor.execute(query, given).fetchall()

        return Report(
            since,
            until,
            scopes=rows("SELECT * FROM alarm_kpis(%s, %s)", since, until),
            top=rows("SELECT * FROM alarm_top(%s, %s)", since, until),
            stale=rows("SELECT * FROM stale_alarms(%s)", until),
            put_aside=rows(_PUT_ASIDE),
        )


def text(report: Report) -> Iterator[str]:
    """Lines of the report."""
    yield f"alarms that people saw, {report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC\n"
    if not report.scopes:
        yield "none\n"
    for row in report.scopes:
        took = row["time_to_acknowledge"]
        yield f"\n{row['scope']}\n"
        yield (
            f"  {row['alarms']} alarms, {row['per_10_min']:.2f} in 10 minutes: {rate_verdict(row['per_10_min']).words}; "
            f"{row['peak_10_min']} at the worst, {row['flood_share']:.1%} of the time in flood\n"
        )
        shares = ", ".join(f"{name} {row[name]:.0%}" for name in ("critical", "high", "medium", "low"))
        answered = "" if took is None else f", half of them within {round(took.total_seconds())} s"
        yield f"  {shares}; {row['acknowledged']} acknowledged{answered}\n"
    yield from _table("most alarms", report.top, lambda row: f"{row['alarms']:>6} {row['share']:>6.1%}", _chattering)
    yield from _table("hold for longer than a day", report.stale, lambda row: f"since {row['since']:%Y-%m-%d %H:%M}")
    yield from _table("put aside now", report.put_aside, lambda row: f"{row['kind']} by {row['who']}", _until)


def _table(title: str, rows: Iterable[Row], *columns: Any) -> Iterator[str]:
    for number, row in enumerate(rows):
        if not number:
            yield f"\n{title}\n"
        words = "  ".join(filter(None, (column(row) for column in columns)))
        yield f"  {row['rule']:<28} {row['path']}  {words}\n"


def _chattering(row: Row) -> str:
    return "chatters" if row["chattering"] else ""


def _until(row: Row) -> str:
    end = "" if row["until"] is None else f"until {row['until']:%Y-%m-%d %H:%M}"
    return "  ".join(filter(None, (end, row["reason"])))


def busiest(report: Report, tags: Sequence[TagDefinition], rules: Sequence[AlarmRule]) -> list[AlarmRule]:
    """The rules behind the sources with most alarms, the busiest first. Those that history cannot judge are left out."""
    classes = {tag.path: tag.device_class for tag in tags} | {tag.device_path: tag.device_class for tag in tags}
    untried, found = trial.untried(rules), dict[str, AlarmRule]()
    for row in report.top:
        path = row["path"]
        mine = [
            rule
            for rule in rules
            if rule.name == row["rule"]
            and rule.name not in untried
            and (
                rule.device_class == classes.get(path)
                or path in (rule.device_path, rule.line_path)
                or path.startswith(f"{rule.device_path}/")
            )
        ]
        for rule in sorted(mine, key=lambda one: not one.device_path)[:1]:
            found.setdefault(rule.rule_id, rule)
    return list(found.values())


# --- proposals -----------------------------------------------------------------------------------------------------------


def variants(rule: AlarmRule) -> list[AlarmRule]:
    """The rule as it is, and with one field changed each: longer delays, a wider deadband."""
    changes: list[dict[str, float]] = []
    if rule.kind is not ConditionKind.COMMAND:
        changes += [{"on_delay_s": each} for each in _DELAYS_S if each > rule.on_delay_s]
        changes += [{"off_delay_s": each} for each in _DELAYS_S if each > rule.off_delay_s]
    if rule.kind in (ConditionKind.LIMIT, ConditionKind.EXPRESSION) and rule.deadband:
        changes += [{"deadband": rule.deadband * each} for each in _BANDS]
    made = [dataclasses.replace(rule, valid_from_us=0)]
    return made + [
        dataclasses.replace(made[0], name=f"v{number}", **change)  # type: ignore[arg-type]
        for number, change in enumerate(changes)
    ]


def proposals(
    connection: psycopg.Connection[Any],
    tags: Sequence[TagDefinition],
    rules: Sequence[AlarmRule],
    rule: AlarmRule,
    span_us: tuple[int, int],
) -> tuple[int, list[Proposal]]:
    """How often a rule was raised on stored history, and what changes of it would at least have halved that, the smallest of each field."""
    tried = variants(rule)
    others = [dataclasses.replace(one, valid_from_us=0) for one in rules if one.name == rule.parent]
    done = trial.run(connection, tags, [*others, *tried], *span_us)
    raised = {one.rule: one.raised - one.suppressed for one in trial.summaries(done, tried)}
    now, found = raised[rule.name], dict[str, Proposal]()
    for one in tried[1:]:
        field = next(
            name for name in ("on_delay_s", "off_delay_s", "deadband") if getattr(one, name) != getattr(rule, name)
        )
        if raised[one.name] * 2 <= now:
            found.setdefault(field, Proposal(field, getattr(rule, field), getattr(one, field), raised[one.name]))
    return now, list(found.values())


def proposal_text(rule: AlarmRule, raised: int, found: Sequence[Proposal]) -> Iterator[str]:
    """Lines about a rule."""
    yield f"  {rule.rule_id}: raised {raised} times\n"
    for one in found:
        yield f"    {one.field} {one.before:g} -> {one.after:g}: {one.raised} times\n"
    if not found:
        yield "    no longer delay and no wider deadband would have halved that\n"
