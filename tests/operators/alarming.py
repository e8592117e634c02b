"""An alarms operator by itself, with rows to put into it and what it says; and a topic that outlives it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np

from jobs.flink.alarms import AlarmsOperator, Records, SiteOf
from schemas import codec, topics
from schemas.alarm_rules import AlarmRule
from schemas.alarms import Alarm, AlarmAction, AlarmActionKind, AlarmEvent
from stages.alarms.config import AlarmConfig
from tests.operators.fakes import Harness
from tests.operators.rows import START_US, registry_rows, row, tag

S = 1_000_000
RULE = {
    "name": "hot",
    "kind": "LIMIT",
    "level": "HI",
    "tag": "temperature1",
    "limit": 80.0,
    "device_class": "press",
    "severity": "MAJOR",
    "response": "PROMPT",
}


GATEWAY_SILENT = {
    "name": "gateway-silent",
    "kind": "NO_DATA",
    "of_gateway": True,
    "after_s": 30.0,
    "severity": "MAJOR",
    "response": "PROMPT",
}


def registry() -> list[bytes]:
    return [each[4] for each in registry_rows(tag(1))]


def rule(**fields: Any) -> AlarmRule:
    return AlarmRule.from_record(RULE | fields)


def rule_row(given: AlarmRule) -> Any:
    return row(topics.ALARM_RULES.name, given.key, given.encode())


Topic = list[tuple[bytes, bytes | None]]
"""Records of `alarms`."""


def harness(
    *messages: bytes,
    topic: Topic | None = None,
    published: Records | None = None,
    config: AlarmConfig | None = None,
    after: Harness | None = None,
) -> Harness:
    """`topic` is what is on `alarms`, or `published` reads it; `after` is a subtask whose state this one goes on from."""
    known = [*registry(), *messages]
    return Harness(
        lambda bench: AlarmsOperator(
            config or AlarmConfig(),
            clock=bench.clock,
            snapshot=lambda: known,
            published=published or (lambda: list(topic or [])),
        ),
        SiteOf(registry),
        now_us=START_US,
        backend=after.backend.snapshot() if after else None,
        timers=after.timers if after else (),
    )


def publish(topic: Topic, outputs: list[tuple[str, bytes, bytes]]) -> list[tuple[str, bytes, bytes]]:
    """What a broker does with outputs: they are on the topic, whatever becomes of the job."""
    topic += [(key, value) for name, key, value in outputs if name == topics.ALARMS.name]
    return outputs


def standing(topic: Topic) -> dict[bytes, Alarm]:
    """What a reader of the topic knows: of each alarm the highest version, unless it is normal."""
    found: dict[bytes, Alarm] = {}
    for key, value in topic:
        if value is None:
            found.pop(key, None)
            continue
        alarm = Alarm.from_record(codec.decode(value, "Alarm")[1])
        if key not in found or alarm.version > found[key].version:
            found[key] = alarm
    return {key: alarm for key, alarm in found.items() if alarm.state != "NORMAL"}


def values(value: float | None, second: float, *, behind: float = 0.0) -> Any:
    """A last value, or none: then the lane's time alone. The gateway's clock is `behind` seconds further."""
    count = int(value is not None)
    record = {
        "gateway_id": "gw-1",
        "lane": 0,
        "closed_time_us": START_US + round((second + behind) * S),
        "tag_id": np.ones(count, dtype=np.int32),
        "time_us": np.full(count, START_US + round(second * S)),
        "value": np.array([] if value is None else [value], dtype=np.float64),
        "quality": np.zeros(count, dtype=np.uint16),
    }
    return row(topics.LATEST.name, b"gw-1/0", codec.encode("LatestBatch", record))


def action(number: int, kind: AlarmActionKind, **fields: Any) -> Any:
    usual: dict[str, Any] = {"site": "north", "rule": "hot", "device_id": 1, "by": "alice", "time_us": START_US}
    record = AlarmAction(action_id=UUID(int=number), kind=kind, **(usual | fields))
    return row(topics.ALARM_ACTIONS.name, record.key, record.encode())


def told(outputs: list[tuple[str, bytes, bytes]]) -> tuple[list[Alarm], list[AlarmEvent]]:
    alarms = [(key, codec.decode(value, "Alarm")[1]) for topic, key, value in outputs if topic == topics.ALARMS.name]
    events = [codec.decode(value, "AlarmEvent")[1] for topic, _, value in outputs if topic == topics.ALARM_EVENTS.name]
    assert all(key == str(record["alarm_id"]).encode() for key, record in alarms)
    return [Alarm.from_record(record) for _, record in alarms], [AlarmEvent.from_record(record) for record in events]
