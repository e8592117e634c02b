"""A day of alarms of the demonstration plant, as the historian writes it: a flood, a loose contact, and two that nobody answers.

Enters: a connection string of a migrated database, and when the day ends. Leaves: alarms and what happened to them. For trends there are
five hours of one press.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from uuid import UUID

from historian.store import HistorianStore
from schemas import alarms
from schemas.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from schemas.definitions import TagDefinition
from schemas.priorities import Priority
from tests.integration.history import Record
from tests.web import demo_plant

_SECOND, _MINUTE, _HOUR = 1_000_000, 60_000_000, 3_600_000_000
_KINDS = {
    "oil_temperature": ("oil-hot", "Oil too hot", Priority.MEDIUM, 4),
    "bearing_temperature": ("bearing-hot", "Bearing too hot", Priority.HIGH, 2),
    "ram_force": ("force", "Ram force above its limit", Priority.CRITICAL, 1),
    "power": ("power", "Power near the contract", Priority.LOW, 9),
    "coolant_pressure": ("pressure", "Coolant pressure high", Priority.LOW, 5),
    "motor_temperature": ("joint", "Motor warm", Priority.LOW, 3),
}
"""By tag: rule, title, priority, and how often beside the others."""


def write(dsn: str, tags: list[TagDefinition], now_us: int) -> None:
    """The day that ends now."""
    known = [tag for tag in tags if tag.name in _KINDS]
    records = list(_day(random.Random(1), known, now_us))
    store = HistorianStore(dsn)
    try:
        store.write([Record("alarms", 0, at, one.key, one.encode()) for at, one in enumerate(records)])
    finally:
        store.close()


def write_press(dsn: str, tags: list[TagDefinition], now_us: int) -> None:
    """Alarms of one press within five hours: one of each priority, a loose contact, one that stands."""
    by_name = {tag.name: tag for tag in tags if tag.device_path == demo_plant.PRESS}
    pick = random.Random(2)
    records = [
        *_one(pick, by_name["oil_temperature"], now_us - 285 * _MINUTE, over_us=93 * _MINUTE, noted_us=27 * _MINUTE),
        *_one(pick, by_name["ram_force"], now_us - 123 * _MINUTE, over_us=36 * _MINUTE, noted_us=0),
        *_one(pick, by_name["bearing_temperature"], now_us - 66 * _MINUTE, stands=True, noted_us=15 * _MINUTE),
    ]
    for number in range(5):
        at_us = now_us - 210 * _MINUTE + number * 7 * _MINUTE
        records += _one(pick, by_name["power"], at_us, over_us=2 * _MINUTE, chatters=number > 1, noted_us=0)
    store = HistorianStore(dsn)
    try:
        store.write([Record("alarms", 0, at, one.key, one.encode()) for at, one in enumerate(records)])
    finally:
        store.close()


def _day(pick: random.Random, tags: list[TagDefinition], now_us: int) -> Iterator[Alarm | AlarmEvent]:
    weights = [_KINDS[tag.name][3] for tag in tags]
    begun_us = now_us - 24 * _HOUR
    for _ in range(110):
        yield from _one(pick, pick.choices(tags, weights)[0], begun_us + pick.randrange(24 * _HOUR))
    line = [tag for tag in tags if "/forming/line-1/" in tag.path]
    for number in range(23):  # a cooler stands
        yield from _one(pick, line[number % len(line)], now_us - 6 * _HOUR + number * 22 * _SECOND)
    loose = next(tag for tag in tags if tag.name == "power")
    for number in range(8):
        yield from _one(
            pick, loose, now_us - 3 * _HOUR + number * 18 * _SECOND, over_us=6 * _SECOND, chatters=number > 1
        )
    for hours, tag in zip((61, 27), (line[0], tags[-1]), strict=True):
        yield from _one(pick, tag, now_us - hours * _HOUR, stands=True)


def _one(
    pick: random.Random,
    tag: TagDefinition,
    at_us: int,
    *,
    over_us: int = 0,
    chatters: bool = False,
    stands: bool = False,
    noted_us: int | None = None,
) -> Iterator[Alarm | AlarmEvent]:
    rule, title, priority, _ = _KINDS[tag.name]
    source = alarms.source_id(tag.site, alarms.source_key(rule, tag.device_id, ""))
    alarm_id = alarms.alarm_id(source, at_us)
    steps = [(AlarmEventKind.RAISED, AlarmState.UNACKNOWLEDGED, at_us)]
    if chatters:
        steps.append((AlarmEventKind.CHATTERING, AlarmState.UNACKNOWLEDGED, at_us))
    answered = stands or pick.random() < 0.8 if noted_us is None else noted_us > 0
    if answered:
        took_us = noted_us or round(pick.lognormvariate(4.2, 0.8) * _SECOND)
        steps.append((AlarmEventKind.ACKNOWLEDGED, AlarmState.ACKNOWLEDGED, at_us + took_us))
    if not stands:
        end_us = max(steps[-1][2], at_us + (over_us or round(pick.uniform(1, 20) * _MINUTE)))
        steps.append((AlarmEventKind.RETURNED, AlarmState.NORMAL, end_us))
    for version, (kind, state, time_us) in enumerate(steps, 1):
        yield AlarmEvent(
            event_id=UUID(int=alarm_id.int ^ version),
            alarm_id=alarm_id,
            source_id=source,
            version=version,
            kind=kind,
            state=state,
            site=tag.site,
            rule=rule,
            device_id=tag.device_id,
            gateway_id=tag.gateway_id,
            path=tag.path,
            priority=priority,
            time_us=time_us,
            recorded_us=time_us,
            by="anna" if kind is AlarmEventKind.ACKNOWLEDGED else "",
        )
    yield Alarm(
        alarm_id=alarm_id,
        source_id=source,
        version=len(steps),
        site=tag.site,
        rule=rule,
        rule_version=1,
        device_id=tag.device_id,
        gateway_id=tag.gateway_id,
        tag_id=tag.tag_id,
        path=tag.path,
        priority=priority,
        state=steps[-1][1],
        active=stands,
        start_us=at_us,
        activated_us=at_us,
        activations=1,
        title=title,
        updated_us=steps[-1][2],
    )
