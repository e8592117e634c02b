"""What is on record of the alarms of a run: SQL and the topics, and whether it is what must be. `compare` is pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from base.ids import now_us
from base.settings import KafkaSettings
from benchmarks.alarms import oracle
from benchmarks.alarms.excursions import Excursion
from benchmarks.alarms.oracle import Activation
from connectors.kafka import client as kafka
from schemas import codec, topics
from schemas.alarms import Alarm, AlarmEvent, AlarmEventKind

_LOOK_S = 0.5
COURSE = ("ACKNOWLEDGED", "RAISED", "RETURNED")
"""What happens to the alarm of an excursion, each once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """An alarm in SQL."""

    alarm_id: UUID
    path: str
    rule: str
    priority: str
    state: str
    version: int
    activations: int
    start_us: int
    activated_us: int
    acknowledged_us: int | None
    events: tuple[str, ...]


_ALARMS = """
SELECT a.alarm_id, a.path, a.rule, a.priority, a.state, a.version, a.activations, us(a.start_time) AS start_us,
       us(a.activated_at) AS activated_us, us(a.acknowledged_at) AS acknowledged_us,
       coalesce((SELECT array_agg(e.kind ORDER BY e.kind) FROM alarm_events e
                 WHERE e.alarm_id = a.alarm_id AND e.kind <> 'CHATTERING'), '{}') AS events
FROM alarms a
WHERE a.start_time >= to_timestamp(%s) AND a.alarm_id <> a.source_id AND a.rule = ANY (%s) ORDER BY a.start_time, a.path
""".replace("us(", "1000000 * extract(epoch FROM ")


def stored(dsn: str, *, since_us: int, rules: Sequence[str]) -> list[Stored]:
    """Alarms of some rules that began since a moment."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        rows = connection.execute(_ALARMS, (since_us / 1e6, list(rules))).fetchall()
    return [Stored(**(row | _plain(row))) for row in rows]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: None if row[name] is None else round(row[name]) for name in row if name.endswith("_us")}
    return times | {"events": tuple(row["events"]), "alarm_id": UUID(str(row["alarm_id"]))}


def figures(dsn: str, from_us: int, to_us: int) -> tuple[list[dict[str, Any]], list[tuple[str, str, int]]]:
    """Rows of `alarm_kpis` and of `alarm_top` over a span that is over."""
    span = (from_us, to_us)
    times = "timestamptz 'epoch' + %s * interval '1 microsecond', timestamptz 'epoch' + %s * interval '1 microsecond'"
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        kpis = connection.execute(
            f"SELECT *, round(1000000 * extract(epoch FROM time_to_acknowledge)) AS time_to_acknowledge_us FROM alarm_kpis({times})",
            span,
        ).fetchall()
        most = connection.execute(f"SELECT path, rule, alarms FROM alarm_top({times})", span).fetchall()
    return kpis, [(row["path"], row["rule"], row["alarms"]) for row in most]


def wrong_figures(dsn: str, activations: Sequence[Activation], from_us: int, to_us: int) -> list[str]:
    """Where the KPIs in SQL are not what they are by hand."""
    kpis, most = figures(dsn, from_us, to_us)
    found = oracle.differences(oracle.kpis(activations, from_us, to_us), kpis)
    if most != (wanted := oracle.top(activations, from_us, to_us)):
        found.append(f"alarm_top is {most}, by hand {wanted}")
    return found


def compare(excursions: Iterable[Excursion], rows: Sequence[Stored]) -> list[str]:
    """Contradictions between what was done and what is stored, in words: each excursion is one alarm, raised, acknowledged, returned."""
    found, of_path = [], dict[str, list[Stored]]()
    for row in rows:
        of_path.setdefault(row.path, []).append(row)
    for one in excursions:
        if one.wrong:
            found.append(f"{one.name}: {one.wrong}")
        mine = [
            row
            for row in of_path.get(one.target.path, ())
            if one.put_us <= row.start_us <= (one.over_us or row.start_us)
        ]
        of_path[one.target.path] = [row for row in of_path.get(one.target.path, ()) if row not in mine]
        if len(mine) != 1:
            found.append(f"{one.name}: {len(mine)} alarms of it are stored")
            continue
        row = mine[0]
        if one.alarm_id not in (None, row.alarm_id):
            found.append(f"{one.name}: {row.alarm_id} is stored of it")
        if row.state != "NORMAL" or row.activations != 1:
            found.append(f"{one.name} is stored as {row.state}, raised {row.activations} times")
        if row.events != COURSE:
            found.append(f"{one.name}: what happened to it is stored as {', '.join(row.events) or 'nothing'}")
    found += [f"alarm {row.alarm_id} of {row.path} is of no excursion" for left in of_path.values() for row in left]
    return found


def activations_of(excursions: Iterable[Excursion]) -> list[Activation]:
    """As the operator saw them."""
    return [
        Activation(
            path=one.target.path,
            rule="bench-power",
            priority=one.priority,
            time_us=one.activated_us,
            acknowledged_us=one.acknowledged_us or None,
        )
        for one in excursions
        if one.seen_us
    ]


def raised(settings: KafkaSettings, since_us: int) -> dict[UUID, tuple[int, int]]:
    """Of each alarm when the job recorded that it was raised, and when that was in Kafka; microseconds since 1970."""
    found = dict[UUID, tuple[int, int]]()
    for message in kafka.read_to_end(settings, topics.ALARM_EVENTS.name):
        event = AlarmEvent.from_record(codec.decode(message.value() or b"", "AlarmEvent")[1])
        if event.kind is AlarmEventKind.RAISED and event.recorded_us >= since_us:
            found.setdefault(event.alarm_id, (event.recorded_us, message.timestamp()[1] * 1000))
    return found


def published(settings: KafkaSettings) -> dict[UUID, Alarm]:
    """Newest record of each alarm on the topic."""
    found = dict[UUID, Alarm]()
    for message in kafka.read_to_end(settings, topics.ALARMS.name):
        if (value := message.value()) is not None:
            alarm = Alarm.from_record(codec.decode(value, "Alarm")[1])
            if alarm.alarm_id not in found or alarm.version >= found[alarm.alarm_id].version:
                found[alarm.alarm_id] = alarm
    return found


def unlike(rows: Iterable[Stored], told: Mapping[UUID, Alarm]) -> list[str]:
    """Where SQL and the topic differ. Pure."""
    return [
        f"alarm {row.alarm_id} of {row.path} is {row.state} version {row.version} in SQL, "
        + (f"{alarm.state} version {alarm.version} on the topic" if alarm is not None else "not on the topic")
        for row in rows
        if (alarm := told.get(row.alarm_id)) is None or (str(alarm.state), alarm.version) != (row.state, row.version)
    ]


def until(condition: Callable[[], bool], *, timeout_s: float) -> bool:
    """Wait for a condition; what is compared afterwards says so when it does not come."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(_LOOK_S)
    return True


def settled(dsn: str, *, since_us: int, rules: Sequence[str], count: int) -> bool:
    """Whether SQL has so many alarms since a moment, all of them normal again."""
    try:
        rows = stored(dsn, since_us=since_us, rules=rules)
    except psycopg.OperationalError:  # it starts again
        return False
    return len(rows) >= count and all(row.state == "NORMAL" for row in rows)


def moment_us() -> int:
    """Now; events carry whole microseconds."""
    return now_us()
